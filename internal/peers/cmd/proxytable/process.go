//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTime  = 15 * time.Second // for a proxy to accept its first connection
	stopTime   = 3 * time.Second  // for a proxy to go after SIGTERM, before it is killed
	startTries = 3                // a port picked free can be taken by somebody else before the proxy binds it
)

// A process is a running program with all that it has forked: it leads a process group.
type process struct {
	cmd    *exec.Cmd
	log    string
	done   chan struct{} // closed when the program has ended and was waited for
	warden *warden
}

// launch starts a program in dir.
func (w *warden) launch(dir string, line []string) (*process, error) {
	p := &process{cmd: child(dir, line), log: filepath.Join(dir, "output.txt"), done: make(chan struct{}), warden: w}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	w.watch(p.group())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ended by a signal, as it should
	}()
	return p, nil
}

// child is a command that leads a process group, knows nothing of this user's settings, and dies with this program.
func child(dir string, line []string) *exec.Cmd {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p *process) group() int { return p.cmd.Process.Pid }

// ready waits until addr accepts a connection.
func (p *process) ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for !accepts(addr) {
		select {
		case <-p.done:
			return fmt.Errorf("it ended at once:\n%s", p.output())
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s: %w", addr, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// stop ends the whole group and returns when it is gone.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	for deadline := time.Now().Add(stopTime); len(members(p.group())) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not end", p.cmd.Path)
		}
	}
	p.warden.forget(p.group())
	return nil
}

// signal reaches every process of the group; that there may be none left is no error.
func (p *process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.group(), sig) }

// output returns what the program printed and logged.
func (p *process) output() string {
	var all []byte
	for _, name := range []string{p.log, filepath.Join(filepath.Dir(p.log), "error.log")} {
		text, _ := os.ReadFile(name) // not every program writes both
		all = append(all, text...)
	}
	return string(all)
}

func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// freeAddr returns a loopback address that nobody listened on a moment ago.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// establish starts a program on a free address, and again on another if that fails. line writes what it needs.
func (w *warden) establish(ctx context.Context, dir string, line func(s site) ([]string, error)) (*process, string, error) {
	var failures []error
	for range startTries {
		p, addr, err := w.try(ctx, dir, line)
		if err == nil {
			return p, addr, nil
		}
		if failures = append(failures, err); ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(failures...)
}

func (w *warden) try(ctx context.Context, parent string, line func(s site) ([]string, error)) (*process, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp(parent, "site")
	if err != nil {
		return nil, "", err
	}
	// Some proxies do their work as another user, and write there.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, "", err
	}
	args, err := line(site{dir: dir, listen: addr})
	if err != nil {
		return nil, "", err
	}
	p, err := w.launch(dir, args)
	if err != nil {
		return nil, "", err
	}
	if err := p.ready(ctx, addr); err != nil {
		return nil, "", errors.Join(err, p.stop())
	}
	return p, addr, nil
}
