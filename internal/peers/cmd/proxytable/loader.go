//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// A loader is the child that plays the load.
type loader struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	stop func() bool // of the watch on the context
}

// startLoad returns when the load has warmed the proxy up and waits.
func (r *rig) startLoad(ctx context.Context, addr string, kind proxyload.Case) (*loader, error) {
	cmd := child(r.dir, []string{r.self, roleWord, "load", kind.Name, addr, strconv.Itoa(r.connections),
		(r.span / 3).String(), r.span.String()})
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &loader{cmd: cmd, in: in, out: bufio.NewReader(out)}
	l.stop = context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it may have ended of itself
	if _, err := l.out.ReadString('\n'); err != nil {
		l.end()
		return nil, fmt.Errorf("the load does not get ready: %w", err)
	}
	return l, nil
}

// run measures, once.
func (l *loader) run() (result proxyload.Result, err error) {
	if _, err := io.WriteString(l.in, "go\n"); err != nil {
		return result, err
	}
	err = json.NewDecoder(l.out).Decode(&result)
	return result, err
}

func (l *loader) end() {
	l.stop()
	_ = l.in.Close()
	_ = l.cmd.Process.Kill() // it may have ended of itself
	_ = l.cmd.Wait()
}
