//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// wholeWord lets a test run the whole program as a child.
const wholeWord = "whole"

// TestMain plays the parts of the rig, since the test binary is what starts itself again. It fails the run if a test has
// left a child behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == roleWord || os.Args[1] == wholeWord) {
		args := os.Args[1:]
		if args[0] == wholeWord {
			args = args[1:]
		}
		if err := start(args, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if left := descendants(os.Getpid()); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "left behind: processes %v\n", left)
		code = 1
	}
	os.Exit(code)
}

// descendants lists the children of a process and theirs.
func descendants(of int) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // ended since
		}
		pid, _, ok := parseStat(string(text))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if ok && fields[1] == strconv.Itoa(of) {
			pids = append(append(pids, pid), descendants(pid)...)
		}
	}
	return pids
}

func alive(pids []int) []int {
	return slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, _, ok := parseStat(string(text))
		return err != nil || !ok
	})
}

// needs skips the test where a proxy is not installed, or fails it where PEERS=required.
func needs(t *testing.T, c contestant) {
	t.Helper()
	if c.find() != "" {
		return
	}
	if os.Getenv("PEERS") == "required" {
		require.FailNowf(t, "a required peer is missing", "%s is not installed", c.title)
	}
	t.Skipf("%s is not installed", c.title)
}

// goOnly are the proxies that need nothing installed.
const goOnly = "ours,plain,tuned"

// The whole program, for a third of a second in each case.
func TestRig(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	var out, progress strings.Builder
	args := []string{"-rounds", "1", "-seconds", "0.3", "-connections", "4", "-only", goOnly, "-markdown", "-profile", profile}
	require.NoError(t, start(args, &out, &progress))
	require.NotContains(t, out.String(), "✗ ", "the mark of a proxy that failed")
	for _, c := range proxyload.Cases() {
		require.Contains(t, out.String(), "### "+c.Title)
		written, err := os.Stat(strings.TrimSuffix(profile, ".pprof") + "-" + c.Name + ".pprof")
		require.NoError(t, err)
		require.Positive(t, written.Size(), "a profile that was ended in order")
	}
	contestants := len(strings.Split(goOnly, ","))
	rows := 0
	for line := range strings.Lines(out.String()) {
		if strings.Count(line, "|") == 10 && strings.Contains(line, " … ") && !strings.Contains(line, "least") {
			rows++
		}
	}
	require.Equal(t, contestants*len(proxyload.Cases()), rows, out.String())
	require.Equal(t, rows, strings.Count(progress.String(), "\n"), progress.String())
}

// Each proxy tells the backend who asked, with which scheme and for which host.
func TestForwardingHeaders(t *testing.T) {
	for _, c := range contestants() {
		if c.name == direct {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			needs(t, c)
			got := headersThrough(t, c)
			require.NotEmpty(t, got["X-Forwarded-For"])
			if c.name == "plain" {
				return // as its constructor makes it
			}
			require.Equal(t, []string{"http"}, got["X-Forwarded-Proto"])
			require.Equal(t, []string{"bench.example"}, got["X-Forwarded-Host"])
		})
	}
}

// headersThrough asks once through a proxy and returns what the backend got.
func headersThrough(t *testing.T, c contestant) (header http.Header) {
	t.Helper()
	underRig(t, c, func(addr string, _ *process) {
		r, err := http.NewRequest("GET", "http://"+addr+"/headers", nil)
		require.NoError(t, err)
		r.Host, r.Close = "bench.example", true
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&header))
	})
	return header
}

// underRig runs a proxy in front of a backend.
func underRig(t *testing.T, c contestant, use func(addr string, p *process)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxytable") // t.TempDir may not be reached by a proxy's other user
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	w, err := newWarden(self)
	require.NoError(t, err)
	defer w.dismiss()
	backend, upstream, err := w.establish(t.Context(), dir, func(s site) ([]string, error) {
		return []string{self, roleWord, "backend", s.listen}, nil
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, backend.stop()) }()
	p, addr, err := w.establish(t.Context(), dir, func(s site) ([]string, error) {
		s.upstream = upstream
		return c.command(s, "")
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.stop()) }()
	use(addr, p)
}

// What a proxy has used grows while it works, and is that of all its processes.
func TestUsage(t *testing.T) {
	underRig(t, contestant{name: "tuned"}, func(addr string, p *process) {
		before, err := p.usage()
		require.NoError(t, err)
		require.Greater(t, before.peak, int64(1<<20))
		l := proxyload.New(proxyload.Cases()[0], addr, 2)
		defer l.Close()
		require.Empty(t, l.Run(100*time.Millisecond).Error)
		after, err := p.usage()
		require.NoError(t, err)
		require.Greater(t, after.cpu, before.cpu)
	})
}

// A program that cannot start is said to, with what it printed.
func TestNoStart(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	w, err := newWarden(self)
	require.NoError(t, err)
	defer w.dismiss()
	_, _, err = w.establish(t.Context(), t.TempDir(), func(s site) ([]string, error) {
		return []string{self, roleWord, "nobody", s.listen, s.upstream}, nil
	})
	require.ErrorContains(t, err, `no role "nobody"`)
}

// However the program ends, nothing that it started stays: neither its children nor what these have forked.
func TestNothingStays(t *testing.T) {
	victim := "nginx" // it has workers, which do not notice that their master is gone
	if chosen, err := choose(victim); err != nil || chosen[0].find() == "" {
		victim = "plain"
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.Command(self, wholeWord, "-only", victim, "-cases", "1k", "-seconds", "20", "-connections", "1")
			cmd.Env = append(os.Environ(), "TMPDIR="+openTempDir(t))
			cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
			require.NoError(t, cmd.Start())
			started := waitFor(t, cmd.Process.Pid, victim)
			require.NoError(t, cmd.Process.Signal(sig))
			require.Error(t, cmd.Wait(), "an interrupted run has no result")
			require.Eventually(t, func() bool { return len(alive(started)) == 0 }, 10*time.Second, 5*time.Millisecond)
		})
	}
}

// openTempDir is a directory that a proxy's other user can reach.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxytable")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// waitFor returns the program's processes once the load is there: warden, backend, proxy and load.
func waitFor(t *testing.T, pid int, victim string) (pids []int) {
	t.Helper()
	want := 4
	if victim == "nginx" {
		want += 2 // workers
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for len(pids) < want {
		require.NoError(t, ctx.Err(), "only %d processes", len(pids))
		time.Sleep(10 * time.Millisecond)
		pids = descendants(pid)
	}
	return pids
}
