//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// roleWord is the first argument of a child that plays a part: the part's name and its own arguments follow.
const roleWord = "role"

// headerTime is how long a client may take for its header in the servers written in Go; the other proxies have such a
// limit of themselves.
const headerTime = time.Minute

// play is the main function of a child. Its arguments come from this program and not from a user.
func play(args []string) error {
	switch part := args[0]; part {
	case "warden":
		return guard(os.Stdin)
	case "load":
		return load(args[1:], os.Stdin, os.Stdout)
	case "backend":
		return serve(args[1], proxyload.Backend(), "")
	default:
		h, err := goProxy(part, args[2])
		if err != nil {
			return err
		}
		return serve(args[1], h, append(args, "")[3])
	}
}

// serve answers on addr until SIGTERM. SIGUSR1 starts a CPU profile, which ends with the process.
func serve(addr string, h http.Handler, profile string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTime}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	defer pprof.StopCPUProfile()
	for {
		select {
		case err := <-failed:
			return err
		case sig := <-signals:
			if sig == syscall.SIGTERM {
				return server.Close()
			}
			if err := startProfile(profile); err != nil {
				return err
			}
		}
	}
}

// startProfile opens a file that stays open until the process ends.
func startProfile(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(file)
}

// load warms up, says that it is ready, waits for a line, runs and prints the result as JSON: case, address,
// connections, warm-up and span.
func load(args []string, in io.Reader, out io.Writer) error {
	c, err1 := proxyload.CaseNamed(args[0])
	connections, err2 := strconv.Atoi(args[2])
	warm, err3 := time.ParseDuration(args[3])
	span, err4 := time.ParseDuration(args[4])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	l := proxyload.New(c, args[1], connections)
	defer l.Close()
	warmed := l.Run(warm)
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err // nobody waits for the result any more
	}
	r := l.Run(span)
	r.Errors += warmed.Errors
	if warmed.Error != "" {
		r.Error = warmed.Error
	}
	return json.NewEncoder(out).Encode(r)
}
