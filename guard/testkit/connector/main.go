// A stand-in for cloudflared, for machines that have none. The real one is preferred: the tests take `cloudflared` from PATH, or
// CLOUDFLARED_BIN, and run the same stories with it.
//
// What it shares with the real one is what decides how guard is met: Go's own net/http.Transport with cloudflared's settings towards
// the origin, Go's HTTP/2 server towards the edge, the same convention of fields between them, the same flags and file, and the same
// way to leave (finish what is under way, for at most the grace period). What it does not have: registration (the control stream
// carries nothing but, in a header, the tunnel of the token; its end means leaving), QUIC, several connections, more than one ingress rule, access checks.
//
// Standard library only.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The name that the edge has to prove.
const serverName = "h2.cftunnel.com"

// How the edge marks a stream that is no plain request.
const upgradeField = "Cf-Cloudflared-Proxy-Connection-Upgrade"

type options struct {
	config, edge, authority, token, metrics, tunnel string
	grace                                           time.Duration
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	chosen, err := parse(os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(chosen); err != nil {
		log.Fatal(err)
	}
}

// parse reads cloudflared's command line: what is shipped, what a stand-in edge needs, and nothing else.
func parse(args []string) (options, error) {
	var o options
	outer := flag.NewFlagSet("cloudflared", flag.ContinueOnError)
	outer.Bool("no-autoupdate", false, "")
	tunnel := flag.NewFlagSet("tunnel", flag.ContinueOnError)
	tunnel.Bool("no-autoupdate", false, "")
	tunnel.Bool("no-prechecks", false, "")
	tunnel.Bool("management-diagnostics", true, "")
	tunnel.StringVar(&o.metrics, "metrics", "", "")
	tunnel.String("loglevel", "", "")
	// A flag wins over its variable, as in the real one.
	protocol := tunnel.String("protocol", os.Getenv("TUNNEL_TRANSPORT_PROTOCOL"), "")
	tunnel.StringVar(&o.config, "config", "", "")
	tunnel.StringVar(&o.edge, "edge", os.Getenv("TUNNEL_EDGE"), "")
	tunnel.StringVar(&o.authority, "cacert", os.Getenv("TUNNEL_CACERT"), "")
	tunnel.DurationVar(&o.grace, "grace-period", 30*time.Second, "")
	run := flag.NewFlagSet("run", flag.ContinueOnError)
	run.StringVar(&o.token, "token-file", "", "")

	if err := outer.Parse(args); err != nil {
		return o, err
	}
	if outer.Arg(0) != "tunnel" {
		return o, fmt.Errorf("want `tunnel`, found %q", outer.Arg(0))
	}
	if err := tunnel.Parse(outer.Args()[1:]); err != nil {
		return o, err
	}
	if tunnel.Arg(0) != "run" {
		return o, fmt.Errorf("want `run`, found %q", tunnel.Arg(0))
	}
	if *protocol != "http2" {
		return o, fmt.Errorf("want --protocol=http2, found %q", *protocol)
	}
	if err := run.Parse(tunnel.Args()[1:]); err != nil {
		return o, err
	}
	token, err := os.ReadFile(o.token)
	if err != nil || len(token) == 0 {
		return o, fmt.Errorf("want a token in --token-file %q: %v", o.token, err)
	}
	o.tunnel = tunnelOf(string(token))
	return o, nil
}

// tunnelOf is the tunnel's id in a token; empty if the token is none of Cloudflare's.
func tunnelOf(token string) string {
	var fields struct{ T string }
	decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	json.Unmarshal(decoded, &fields)
	return fields.T
}

// service reads the only ingress rule.
func service(path string) (*url.URL, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const rule = "- service: "
	var found []string
	for _, line := range strings.Split(string(file), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, rule) {
			found = append(found, strings.TrimPrefix(line, rule))
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s: want one `%sURL`, found %d", path, rule, len(found))
	}
	return url.Parse(found[0])
}

func run(o options) error {
	origin, err := service(o.config)
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(o.authority)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s: no certificate", o.authority)
	}
	var connected atomic.Bool
	if o.metrics != "" {
		go func() { log.Fatal(http.ListenAndServe(o.metrics, health(&connected))) }()
	}
	edge, err := dial(o.edge, &tls.Config{RootCAs: roots, ServerName: serverName, NextProtos: []string{"h2"}})
	if err != nil {
		return err
	}
	connected.Store(true)
	connector := &connector{origin: origin, tunnel: o.tunnel, transport: transport(), leaving: make(chan struct{})}
	listener := &single{connection: edge, closed: make(chan struct{})}
	server := &http.Server{Handler: connector, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			listener.Close()
		}
	}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		log.Print("leaving")
		close(connector.leaving)
		time.Sleep(o.grace)
		os.Exit(0)
	}()
	// Ends when the edge has closed the connection: after the last answer.
	if err := server.Serve(listener); !errors.Is(err, net.ErrClosed) {
		return err
	}
	select {
	case <-connector.leaving:
		return nil
	default:
		return errors.New("the edge closed the connection")
	}
}

// dial tries again until the edge answers, as the real one does: a name may not resolve yet, a network may not be there yet.
func dial(address string, config *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	for tries := 0; ; tries++ {
		connection, err := tls.DialWithDialer(dialer, "tcp", address, config)
		if err == nil || tries == 60 {
			return connection, err
		}
		log.Print(err)
		time.Sleep(time.Second)
	}
}

// health answers what the probes of the pod ask.
func health(connected *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthcheck", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK\n") })
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !connected.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"status":%d,"readyConnections":%d}`, map[bool]int{true: 200, false: 503}[connected.Load()], map[bool]int{true: 1}[connected.Load()])
	})
	return mux
}

// transport has the settings that cloudflared has without an `originRequest` in its file.
func transport() *http.Transport {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

type connector struct {
	origin    *url.URL
	tunnel    string
	transport *http.Transport
	leaving   chan struct{}
}

func (c *connector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := r.Header.Get(upgradeField)
	r.Header.Del(upgradeField)
	if kind == "control-stream" {
		if c.tunnel != "" {
			w.Header().Set("Connector-Tunnel", c.tunnel)
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select {
		case <-c.leaving:
		case <-r.Context().Done():
		}
		return
	}
	if err := c.forward(w, r, kind == "websocket"); err != nil {
		log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
	}
}

// forward is one request: to the origin, and its answer back. An error after the answer's head breaks the stream.
func (c *connector) forward(w http.ResponseWriter, r *http.Request, websocket bool) error {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = c.origin.Scheme, c.origin.Host
	if websocket {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", "websocket")
		out.Header.Set("Sec-Websocket-Version", "13")
		out.ContentLength, out.Body = 0, nil
	} else {
		out.Header.Set("Connection", "keep-alive")
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "")
	}
	answer, err := c.transport.RoundTrip(out)
	if err != nil {
		w.Header().Set("Cf-Cloudflared-Response-Meta", `{"src":"cloudflared"}`)
		w.WriteHeader(http.StatusBadGateway)
		return err
	}
	defer answer.Body.Close()

	if length := answer.Header.Get("Content-Length"); length != "" {
		w.Header().Set("Content-Length", length)
	}
	w.Header().Set("Cf-Cloudflared-Response-Headers", envelope(answer.Header))
	w.Header().Set("Cf-Cloudflared-Response-Meta", `{"src":"origin"}`)
	status := answer.StatusCode
	if status == http.StatusSwitchingProtocols {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	out2 := flushing{w, answer.Header.Get("Content-Length") == ""}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		out2.Flush()
		pipe(out2, r.Body, answer.Body.(io.ReadWriteCloser))
		return nil
	}
	if out2.always {
		out2.Flush()
	}
	if _, err := io.Copy(out2, answer.Body); err != nil {
		log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// envelope keeps an origin's fields from the rules of HTTP/2.
func envelope(fields http.Header) string {
	var pairs []string
	code := base64.RawStdEncoding
	for name, values := range fields {
		for _, value := range values {
			pairs = append(pairs, code.EncodeToString([]byte(name))+":"+code.EncodeToString([]byte(value)))
		}
	}
	return strings.Join(pairs, ";")
}

// pipe moves bytes both ways until either way ends.
func pipe(edge io.Writer, fromEdge io.Reader, origin io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	for _, way := range []func(){
		func() { io.Copy(edge, origin) },
		func() { io.Copy(origin, fromEdge) },
	} {
		go func(move func()) {
			// The other way may have ended the stream under this one.
			defer func() { recover(); done <- struct{}{} }()
			move()
		}(way)
	}
	<-done
	origin.Close()
}

// flushing sends each part of a body without a declared length on its way at once.
type flushing struct {
	http.ResponseWriter
	always bool
}

func (f flushing) Flush() { f.ResponseWriter.(http.Flusher).Flush() }

func (f flushing) Write(part []byte) (int, error) {
	n, err := f.ResponseWriter.Write(part)
	if err == nil && f.always {
		f.Flush()
	}
	return n, err
}

// single is a listener whose only connection was dialled: net/http then serves on it.
type single struct {
	connection net.Conn
	given      bool
	once       sync.Once
	closed     chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	if !s.given {
		s.given = true
		return s.connection, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *single) Addr() net.Addr { return s.connection.LocalAddr() }
