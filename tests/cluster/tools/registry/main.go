// Command registry keeps container images and workflow bundles for one local cluster, in a
// directory, so that they are still there after it was ended and started again. It speaks the part
// of the OCI distribution protocol that pushing and pulling need, in the clear and to everybody.
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const maxManifest = 4 << 20

var (
	path   = regexp.MustCompile(`^/v2/([a-z0-9._/-]+)/(manifests|blobs|blobs/uploads|tags)/([A-Za-z0-9._:-]*)$`)
	digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	tag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

func main() {
	address := flag.String("address", "127.0.0.1:5000", "where to listen")
	dir := flag.String("dir", "", "where to keep everything")
	flag.Parse()
	store := store{*dir}
	for _, part := range []string{"blobs", "uploads", "manifests", "tags"} {
		if err := os.MkdirAll(filepath.Join(*dir, part), 0o755); err != nil {
			log.Fatal(err)
		}
	}
	server := http.Server{Addr: *address, Handler: store, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

type store struct{ dir string }

func (s store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log.Printf("%s %s", r.Method, r.URL)
	if r.URL.Path == "/v2/" {
		fmt.Fprint(w, "{}")
		return
	}
	parts := path.FindStringSubmatch(r.URL.Path)
	if parts == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "no such path")
		return
	}
	repository, kind, reference := parts[1], parts[2], parts[3]
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case kind == "manifests" && read:
		s.manifest(w, r, repository, reference)
	case kind == "manifests" && r.Method == http.MethodPut:
		s.putManifest(w, r, repository, reference)
	case kind == "manifests" && r.Method == http.MethodDelete:
		s.removeManifest(w, repository, reference)
	case kind == "blobs" && read:
		s.blob(w, r, reference)
	case kind == "blobs/uploads" && r.Method == http.MethodPost:
		s.begin(w, r, repository)
	case kind == "blobs/uploads" && (r.Method == http.MethodPatch || r.Method == http.MethodPut):
		s.upload(w, r, repository, reference)
	case kind == "tags" && read:
		s.tags(w, repository)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "not supported")
	}
}

// file names one thing; an escaped name holds no slash, so nothing lies outside the directory.
func (s store) file(part, name string) string {
	return filepath.Join(s.dir, part, url.QueryEscape(name))
}

func (s store) manifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	if tag.MatchString(reference) {
		named, err := os.ReadFile(s.file("tags", repository+":"+reference))
		if err != nil {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "Unknown manifest")
			return
		}
		reference = string(named)
	}
	content, err := os.ReadFile(s.file("manifests", repository+"@"+reference))
	if err != nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "Unknown manifest")
		return
	}
	var typed struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(content, &typed); typed.MediaType == "" {
		typed.MediaType = "application/vnd.oci.image.manifest.v1+json"
	}
	w.Header().Set("Content-Type", typed.MediaType)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	w.Header().Set("Docker-Content-Digest", reference)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}

func (s store) putManifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil || !json.Valid(content) {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "a manifest is JSON of at most 4 MiB")
		return
	}
	sum := sha256.Sum256(content)
	actual := "sha256:" + hex.EncodeToString(sum[:])
	if !tag.MatchString(reference) && reference != actual {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the content has another digest")
		return
	}
	err = s.write(s.file("manifests", repository+"@"+actual), content)
	if err == nil && reference != actual {
		err = s.write(s.file("tags", repository+":"+reference), []byte(actual))
	}
	if err != nil {
		fail(w, err)
		return
	}
	created(w, "/v2/"+repository+"/manifests/"+actual, actual)
}

func (s store) removeManifest(w http.ResponseWriter, repository, reference string) {
	file := s.file("manifests", repository+"@"+reference)
	if tag.MatchString(reference) {
		file = s.file("tags", repository+":"+reference)
	}
	if os.Remove(file) != nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "Unknown manifest")
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s store) blob(w http.ResponseWriter, r *http.Request, reference string) {
	file, err := os.Open(s.file("blobs", reference))
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "Unknown blob")
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", reference)
	http.ServeContent(w, r, "", time.Time{}, file)
}

// begin starts an upload, which ends at once if all of it came along.
func (s store) begin(w http.ResponseWriter, r *http.Request, repository string) {
	id := rand.Text()
	if err := os.WriteFile(s.file("uploads", id), nil, 0o644); err != nil {
		fail(w, err)
		return
	}
	if r.URL.Query().Has("digest") {
		s.upload(w, r, repository, id)
		return
	}
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
	w.WriteHeader(http.StatusAccepted)
}

// upload takes a piece of a blob, and with its digest ends it.
func (s store) upload(w http.ResponseWriter, r *http.Request, repository, id string) {
	name := s.file("uploads", id)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "Unknown upload")
		return
	}
	_, err = io.Copy(file, r.Body)
	if err = errors.Join(err, file.Close()); err != nil {
		fail(w, err)
		return
	}
	wanted := r.URL.Query().Get("digest")
	if wanted == "" && r.Method == http.MethodPatch {
		w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			w.Header().Set("Range", fmt.Sprintf("0-%d", info.Size()-1))
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	actual, err := sum(name)
	if err != nil {
		fail(w, err)
		return
	}
	if actual != wanted || !digest.MatchString(wanted) {
		_ = os.Remove(name)
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the content has another digest")
		return
	}
	if err := os.Rename(name, s.file("blobs", actual)); err != nil {
		fail(w, err)
		return
	}
	created(w, "/v2/"+repository+"/blobs/"+actual, actual)
}

func (s store) tags(w http.ResponseWriter, repository string) {
	files, _ := filepath.Glob(s.file("tags", repository+":") + "*")
	names := []string{}
	for _, file := range files {
		name, _ := url.QueryUnescape(filepath.Base(file))
		names = append(names, name[len(repository)+1:])
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": repository, "tags": names})
}

// write makes a file that is there as a whole or not at all.
func (s store) write(name string, content []byte) error {
	unfinished := s.file("uploads", rand.Text())
	if err := os.WriteFile(unfinished, content, 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, name)
}

func sum(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), err
}

func created(w http.ResponseWriter, location, digest string) {
	w.Header().Set("Location", location)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	problem := map[string]string{"code": code, "message": message}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{problem}})
}
