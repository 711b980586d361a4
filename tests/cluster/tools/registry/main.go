// Command registry keeps container images and workflow bundles for one local cluster, in a
// directory. It is the registry of go-containerregistry, which keeps blobs on disk and forgets
// manifests when it ends: they are written down here, so that they are there after a new start.
// It speaks in the clear and to everybody.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

const maxManifest = 4 << 20

func main() {
	address := flag.String("address", "127.0.0.1:5000", "where to listen")
	dir := flag.String("dir", "", "where to keep everything")
	flag.Parse()
	blobs := filepath.Join(*dir, "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		log.Fatal(err)
	}
	images := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)))
	kept, err := open(filepath.Join(*dir, "manifests"), images)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Addr: *address, Handler: kept, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// change is a request that changed a manifest.
type change struct {
	Method, Target, Type string
	Body                 []byte
}

// journal has all changes of manifests in their order, one JSON value each.
type journal struct {
	images http.Handler
	lock   sync.Mutex
	file   *os.File
}

// open makes all changes again that were written down. The last may be cut off by a crash; nobody
// was told then that it was made.
func open(name string, images http.Handler) (*journal, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	var end int64
	for stored := json.NewDecoder(file); ; end = stored.InputOffset() {
		var next change
		if err := stored.Decode(&next); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			return nil, err
		}
		next.do(images)
	}
	if err := file.Truncate(end); err != nil {
		return nil, err
	}
	_, err = file.Seek(end, io.SeekStart)
	return &journal{images: images, file: file}, err
}

func (c change) do(images http.Handler) *httptest.ResponseRecorder {
	request := httptest.NewRequest(c.Method, c.Target, bytes.NewReader(c.Body))
	request.Header.Set("Content-Type", c.Type)
	answer := httptest.NewRecorder()
	images.ServeHTTP(answer, request)
	return answer
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	changes := r.Method == http.MethodPut || r.Method == http.MethodDelete
	if !changes || !strings.Contains(r.URL.Path, "/manifests/") {
		j.images.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		http.Error(w, "a manifest has 4 MiB at most", http.StatusBadRequest)
		return
	}
	asked := change{r.Method, r.RequestURI, r.Header.Get("Content-Type"), body}
	j.lock.Lock()
	defer j.lock.Unlock()
	answer := asked.do(j.images)
	if answer.Code < 300 {
		if err := json.NewEncoder(j.file).Encode(asked); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}
