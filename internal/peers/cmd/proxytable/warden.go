//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
)

// A warden is a child that ends the process groups it was told of as soon as this program is gone, even if it was
// killed. The kernel does that for children, but not for what these have forked.
type warden struct {
	cmd   *exec.Cmd
	lines io.WriteCloser
}

func newWarden(self string) (*warden, error) {
	cmd := exec.Command(self, roleWord, "warden")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of the reach of a terminal's Ctrl-C
	lines, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &warden{cmd: cmd, lines: lines}, cmd.Start()
}

// watch and forget take the leader of a group. A warden that is gone guards nothing, which the caller can do nothing
// about.
func (w *warden) watch(pid int)  { _, _ = fmt.Fprintf(w.lines, "+%d\n", pid) }
func (w *warden) forget(pid int) { _, _ = fmt.Fprintf(w.lines, "-%d\n", pid) }

// dismiss ends the warden, and whatever it still watches.
func (w *warden) dismiss() {
	_ = w.lines.Close()
	_ = w.cmd.Wait()
}

// guard is the warden's role: lines "+pid" and "-pid" until the other end closes.
func guard(in io.Reader) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	groups := map[int]bool{}
	for s := bufio.NewScanner(in); s.Scan(); {
		pid, err := strconv.Atoi(s.Text())
		switch {
		case err != nil:
			return err
		case pid > 1: // -1 would be every process there is
			groups[pid] = true
		default:
			delete(groups, -pid)
		}
	}
	for pid := range groups {
		_ = syscall.Kill(-pid, syscall.SIGKILL) // it may have ended of itself
	}
	return nil
}
