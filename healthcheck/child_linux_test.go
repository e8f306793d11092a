package healthcheck

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// childEnv makes this test binary a program with one of the mains below.
const childEnv = "HEALTHCHECK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain())
	}
	os.Exit(m.Run())
}

// childMain is the main of a service, as the documentation has it. It tells the
// test where it listens and when a request has come.
func childMain() int {
	Main("http://127.0.0.1:1/livez")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	var health Health
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("request")
		slowly(w, r)
	})
	srv := NewServer("", health.Wrap(app), ALB())
	err = ServeAll(context.Background(), &health, Endpoint{Server: srv, Listeners: []net.Listener{l}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "exit:", err)
		return 1
	}
	return 0
}

// A child is a process of its own, with the signals of the operating system.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr strings.Builder
	addr   string
}

func startChild(t *testing.T) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = []string{childEnv + "=serve"}
	c.cmd.Stderr = &c.stderr
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.stdout = bufio.NewReader(stdout)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it has ended, unless the test failed
		_ = c.cmd.Wait()
	})
	c.addr = c.line()
	return c
}

// line is the next line that the child says.
func (c *child) line() string {
	c.t.Helper()
	line, err := c.stdout.ReadString('\n')
	require.NoError(c.t, err)
	return strings.TrimSuffix(line, "\n")
}

// get sends a request, waits until the child has it, and returns what the answer
// will be.
func (c *child) get(path string) <-chan string {
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + c.addr + path)
		if err != nil {
			answer <- "error"
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(resp.StatusCode, " ", string(body))
	}()
	require.Equal(c.t, "request", c.line())
	return answer
}

func (c *child) signal(s os.Signal) { require.NoError(c.t, c.cmd.Process.Signal(s)) }

// exit waits for the child's end and returns its code; -1: a signal killed it.
func (c *child) exit() int {
	_, _ = io.Copy(io.Discard, c.stdout)
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// TestSignalsOfTheSystem: SIGTERM and SIGINT end a real process with code 0 once
// its requests are answered, and do not kill it.
func TestSignalsOfTheSystem(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := startChild(t)
		answer := c.get("/?d=300ms")
		c.signal(s)
		assert.Equal(t, "200 done", <-answer)
		assert.Zero(t, c.exit(), c.stderr.String())
		assert.Contains(t, c.stderr.String(), "nothing was lost")
	}
}

// TestSecondSignalOfTheSystem: the exit code and the log say what was lost.
func TestSecondSignalOfTheSystem(t *testing.T) {
	c := startChild(t)
	answer := c.get("/?d=1m")
	c.signal(syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond) // two of the same that wait at the same time are one
	c.signal(syscall.SIGTERM)
	assert.Equal(t, 1, c.exit())
	assert.Equal(t, "error", <-answer)
	assert.Contains(t, c.stderr.String(), "exit: healthcheck: lost 1 request in flight (GET / after")
	assert.Contains(t, c.stderr.String(), "a second signal")
}

// TestHealthcheckSubcommand: a program probes itself in an image that has nothing
// else, no shell, no PATH and no environment.
func TestHealthcheckSubcommand(t *testing.T) {
	c := startChild(t)
	probe := func(args ...string) (int, string) {
		cmd := exec.Command(os.Args[0], append([]string{"healthcheck"}, args...)...)
		cmd.Env = []string{childEnv + "=probe"}
		cmd.Dir = t.TempDir()
		said, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(said)
	}
	code, said := probe("http://" + c.addr + "/livez")
	assert.Zero(t, code, said)
	assert.Empty(t, said)
	code, said = probe()
	assert.Equal(t, 1, code)
	assert.Contains(t, said, "connection refused")
	c.signal(syscall.SIGTERM)
	assert.Zero(t, c.exit())
}
