// Command demo is the only program in two images made for tests and demonstrations: "pause" holds
// a pod's namespaces, "workflow" is a remediation whose environment says how it goes.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"
)

func main() {
	command := "workflow"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "pause":
		pause()
	case "workflow":
		os.Exit(workflow())
	default:
		fmt.Fprintf(os.Stderr, "unknown command %q: use pause or workflow\n", command)
		os.Exit(2)
	}
}

// pause waits to be told to end, collecting children it is given meanwhile.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}

// workflow prints what it was given, then does what its environment says:
//
//	ALLOCATE_MIB   take that much memory and use it
//	SLEEP_SECONDS  wait that long (fractions allowed)
//	PRINT_FILE     print what is in that file, as no workflow should that knows what it holds
//	WRITE_FILE     write WRITE_TEXT into that file
//	EXIT_CODE      end with this code
func workflow() int {
	fmt.Printf("remediating %s\n", value("TARGET_RESOURCE"))
	fmt.Printf("traceparent %s\n", value("TRACEPARENT"))
	for _, kind := range []string{"secrets", "configmaps"} {
		printFiles(filepath.Join("/run/kubernaut", kind))
	}
	go endOnSignal()
	if allocated := number("ALLOCATE_MIB"); allocated > 0 {
		fmt.Printf("taking %v MiB of memory\n", allocated)
		fmt.Printf("took %v MiB\n", len(allocate(int(allocated))))
	}
	if seconds := number("SLEEP_SECONDS"); seconds > 0 {
		fmt.Printf("waiting %v s\n", seconds)
		time.Sleep(time.Duration(seconds * float64(time.Second)))
	}
	if path := os.Getenv("PRINT_FILE"); path != "" {
		content, err := os.ReadFile(path)
		fmt.Printf("read %s: %s (%v)\n", path, content, err)
	}
	if path := os.Getenv("WRITE_FILE"); path != "" {
		err := os.WriteFile(path, []byte(os.Getenv("WRITE_TEXT")), 0o644)
		fmt.Printf("wrote %s (%v)\n", path, err)
	}
	if code := int(number("EXIT_CODE")); code != 0 {
		fmt.Printf("could not remediate: told to end with code %d\n", code)
		return code
	}
	fmt.Println("remediated")
	return 0
}

func value(name string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return "(" + name + " is not set)"
}

func number(name string) float64 {
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		fmt.Printf("%s is not a number: %q\n", name, text)
		os.Exit(2)
	}
	return number
}

// printFiles names what is mounted below dir, never its content.
func printFiles(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "[^.]*"))
	sort.Strings(files)
	for _, file := range files {
		fmt.Printf("mounted %s\n", file)
	}
}

// endOnSignal ends at once when the pod is deleted: as the first process of a container it would
// not end by itself.
func endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	received := <-signals
	fmt.Printf("ended by %s\n", received)
	os.Exit(143)
}

// allocate touches every page, so that the memory is really taken.
func allocate(mebibytes int) [][]byte {
	taken := make([][]byte, 0, mebibytes)
	for range mebibytes {
		block := make([]byte, 1<<20)
		for page := 0; page < len(block); page += 4096 {
			block[page] = 1
		}
		taken = append(taken, block)
	}
	return taken
}
