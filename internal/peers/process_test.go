//go:build linux

package peers

import (
	"fmt"
	"net"
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
)

const (
	startTime  = 15 * time.Second // for a peer to accept its first connection
	stopTime   = 5 * time.Second  // for a peer to go after SIGTERM, before it is killed
	startTries = 3                // a port picked free can be taken by somebody else before the peer binds it
)

// A peerSpec says how to run a program that is not part of this module.
type peerSpec struct {
	binary string // looked up in PATH and in the system's sbin directories
	listen int    // how many addresses it listens on

	// args writes what the program needs into dir, an empty directory of its own, and returns its command line.
	args func(dir string, addrs []string) []string
}

// TestMain fails the run if a test has left a child process behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, p := range living() {
		if p.parent == os.Getpid() {
			fmt.Fprintf(os.Stderr, "left behind: %s\n", p.name)
			code = 1
		}
	}
	os.Exit(code)
}

// startPeer runs a real program until the end of the test and returns the addresses it listens on, once it accepts
// connections there. A program that is not installed skips the test, or fails it where PEERS=required.
func startPeer(t *testing.T, spec peerSpec) []string {
	t.Helper()
	path := findPeer(t, spec.binary)
	var output string
	for range startTries {
		addrs := freeAddrs(t, spec.listen)
		dir := t.TempDir()
		p := launch(t, path, dir, spec.args(dir, addrs))
		if p.ready(addrs) {
			t.Cleanup(func() { p.stop(t, addrs) })
			return addrs
		}
		p.stop(t, nil)
		output = p.output()
	}
	require.FailNowf(t, "the peer does not start", "%s:\n%s", spec.binary, output)
	return nil
}

// findPeer looks a program up; daemons live where an ordinary user's PATH does not lead.
func findPeer(t *testing.T, binary string) string {
	t.Helper()
	for _, candidate := range []string{binary, "/usr/sbin/" + binary, "/usr/local/sbin/" + binary} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("PEERS") == "required" {
		require.FailNowf(t, "a required peer is missing", "%s is not installed", binary)
	}
	t.Skipf("peer left out: %s is not installed", binary)
	return ""
}

// freeAddrs returns loopback addresses that nobody listened on a moment ago. All are held before any is let go, so
// that no two are the same.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		addrs[i] = ln.Addr().String()
	}
	return addrs
}

// A process is a running peer.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the program has ended and was waited for
}

// launch starts a program as the leader of a process group, so that whatever it forks can be ended with it. It dies
// with the test binary too, should that be killed before its cleanups run.
func launch(t *testing.T, path, dir string, args []string) *process {
	t.Helper()
	p := &process{
		cmd:  exec.Command(path, args...),
		log:  filepath.Join(dir, "output.txt"),
		done: make(chan struct{}),
	}
	out, err := os.Create(p.log)
	require.NoError(t, err)
	defer out.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ended by a signal, as it should
	}()
	return p
}

// ready waits until every address accepts a connection. It gives up when the program ends or takes too long.
func (p *process) ready(addrs []string) bool {
	deadline := time.After(startTime)
	for len(addrs) > 0 {
		if accepts(addrs[0]) {
			addrs = addrs[1:]
			continue
		}
		select {
		case <-p.done:
			return false
		case <-deadline:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return true
}

// stop ends the whole process group and asserts that neither it nor a listener of it is left.
func (p *process) stop(t *testing.T, addrs []string) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	require.Eventually(t, p.gone, stopTime, time.Millisecond, "%s left a process behind", p.cmd.Path)
	for _, addr := range addrs {
		require.False(t, accepts(addr), "%s still listens on %s", p.cmd.Path, addr)
	}
	if t.Failed() {
		t.Logf("%s:\n%s", p.cmd.Path, p.output())
	}
}

// signal reaches every process of the group; that there may be none left is no error.
func (p *process) signal(sig syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, sig)
}

func (p *process) gone() bool {
	return !slices.ContainsFunc(living(), func(l procStat) bool { return l.group == p.cmd.Process.Pid })
}

// procStat is what proc(5) says about one process.
type procStat struct {
	name          string
	parent, group int
}

// living lists the processes that run. One that has ended but whose parent has not looked yet is none of them: in a
// container, the parent of an orphan may never look.
func living() []procStat {
	var list []procStat
	names, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // ended since
		}
		if stat, ended := parseStat(string(text)); !ended {
			list = append(list, stat)
		}
	}
	return list
}

// parseStat reads a line "pid (name) state parent group …". The name may hold anything, brackets too.
func parseStat(text string) (stat procStat, ended bool) {
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	if len(fields) < 3 || fields[0] == "Z" || fields[0] == "X" {
		return procStat{}, true
	}
	stat.name = text[:end+1]
	stat.parent, _ = strconv.Atoi(fields[1]) // numbers both, by proc(5)
	stat.group, _ = strconv.Atoi(fields[2])
	return stat, false
}

// output returns what the program printed and logged, for the reader of a failed test.
func (p *process) output() string {
	var all strings.Builder
	for _, name := range []string{p.log, filepath.Join(filepath.Dir(p.log), "error.log")} {
		text, _ := os.ReadFile(name) // not every program writes both
		all.Write(text)
	}
	return all.String()
}

func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// writeFile puts a configuration where a peer will read it, and returns its path.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// A peer must be gone when its test ends, together with what it forked and although it ignores SIGTERM.
func TestStopEndsTheWholeGroup(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until the time to stop has passed")
	}
	shell := findPeer(t, "sh")
	p := launch(t, shell, t.TempDir(), []string{"-c", "trap '' TERM; sleep 60 & echo started; wait; sleep 60"})
	require.Eventually(t, func() bool { return strings.Contains(p.output(), "started") }, stopTime, time.Millisecond)
	require.False(t, p.gone())
	p.stop(t, nil)
	require.True(t, p.gone())
}
