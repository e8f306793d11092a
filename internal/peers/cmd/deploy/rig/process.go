//go:build linux

package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTime = 15 * time.Second // for a program to accept its first connection
	stopTime  = 60 * time.Second // for an instance to go after SIGTERM: longer than any profile's waits here
)

// A process is a running program with what it has forked: it leads a process group.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended and was waited for
}

// launch starts a program that knows nothing of this user's settings, and that dies with this one.
func launch(dir, name string, line []string) (*process, error) {
	p := &process{cmd: exec.Command(line[0], line[1:]...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in its ProcessState
	}()
	return p, nil
}

// ready waits until addr accepts a connection.
func (p *process) ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for !accepts(addr) {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once:\n%s", p.cmd.Path, p.output())
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s: %w", addr, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// terminate sends SIGTERM and returns how long the process took to end.
func (p *process) terminate() (time.Duration, error) {
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.done:
		return time.Since(began), nil
	case <-time.After(stopTime):
		return 0, fmt.Errorf("%s does not end:\n%s", p.cmd.Path, p.output())
	}
}

// kill ends the whole group.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended of itself
	<-p.done
}

// exit is how it ended, in words: "exit status 0", "signal: terminated".
func (p *process) exit() string { return p.cmd.ProcessState.String() }

// output is what it printed.
func (p *process) output() string {
	text, _ := os.ReadFile(p.log) // for the reader of an error
	return string(text)
}

// find looks a program up; daemons live where an ordinary user's PATH does not lead.
func find(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + binary)
	}
	return path, err
}

// freeAddrs returns loopback addresses that nobody listened on a moment ago, no two the same.
func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addrs[i] = ln.Addr().String()
	}
	return addrs, nil
}
