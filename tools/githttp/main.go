// Command githttp serves the Git repositories below a folder by smart HTTP (gitprotocol-http(5)), as Flux clones them: git http-backend
// behind CGI (RFC 3875), on loopback only. For tests: no login, whoever reaches the port may fetch and nobody may push.
//
// It prints the address that it listens on as its only line of output, and ends when its standard input does: a test that dies takes it along.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("githttp: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: githttp FOLDER 127.0.0.1:PORT (0 takes a free port)")
	}
	root, err := filepath.Abs(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		log.Fatalf("git --exec-path: %v (Debian: apt-get install git)", err)
	}
	listener, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		log.Fatalf("%s is not a loopback address: the repositories would be open to the network", listener.Addr())
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + root,
			"GIT_HTTP_EXPORT_ALL=1",
			// The folder may belong to another user than the server's; the operator's own Git settings stay out.
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
	}))
}
