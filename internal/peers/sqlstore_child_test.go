//go:build linux

package peers

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// childVariable holds what a child process is to do, in JSON.
const childVariable = "SQLSTORE_CHILD"

// A childTask is one process of a fleet.
type childTask struct {
	Driver, URL string
	Lease       time.Duration
	ACME        *acmeTask // nil: the child carries out commands only
}

// A sqlChild is another process with a Store over the same table. It carries out commands, a line each.
type sqlChild struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// startChild runs this test binary again. The child is gone at the end of the test.
func startChild(t *testing.T, task childTask) *sqlChild {
	t.Helper()
	text, err := json.Marshal(task)
	require.NoError(t, err)
	c := &sqlChild{cmd: exec.Command(os.Args[0], "-test.run=^TestSQLStoreChild$"), lines: make(chan string, 100)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text), "PEERS=")
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go c.read(out)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()
	})
	require.Equal(t, "ready", c.answer(t))
	return c
}

func (c *sqlChild) read(out io.Reader) {
	defer close(c.lines)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if answer, ok := strings.CutPrefix(scanner.Text(), "> "); ok {
			c.lines <- answer
		}
	}
}

// send has a command carried out; answer tells what became of it.
func (c *sqlChild) send(t *testing.T, command ...string) {
	t.Helper()
	_, err := fmt.Fprintln(c.in, strings.Join(command, " "))
	require.NoError(t, err)
}

func (c *sqlChild) answer(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-c.lines:
		require.True(t, ok, "the child ended")
		return line
	case <-time.After(30 * time.Second):
		require.Fail(t, "the child does not answer")
		return ""
	}
}

func (c *sqlChild) do(t *testing.T, command ...string) string {
	t.Helper()
	c.send(t, command...)
	return c.answer(t)
}

func (c *sqlChild) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(sig))
}

// TestSQLStoreChild is no test: it is what a child process runs.
func TestSQLStoreChild(t *testing.T) {
	text := os.Getenv(childVariable)
	if text == "" {
		t.Skip("only for child processes of the other tests")
	}
	var task childTask
	require.NoError(t, json.Unmarshal([]byte(text), &task))
	db, err := sql.Open(task.Driver, task.URL)
	require.NoError(t, err)
	defer db.Close()
	store := newSQLStore(t, db, func(cfg *sqlstore.Config) {
		cfg.Lease, cfg.Poll = task.Lease, 20*time.Millisecond
	})
	fmt.Println("> ready")
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
		said, err := carryOut(t, store, task, strings.Fields(scanner.Text()))
		if err != nil {
			said = "error: " + err.Error()
		}
		fmt.Println("> " + said)
	}
}

// carryOut is one command of a child.
func carryOut(t *testing.T, store *sqlstore.Store, task childTask, words []string) (string, error) {
	ctx := context.Background()
	switch words[0] {
	case "lock":
		return "done", store.Lock(ctx, words[1])
	case "trylock":
		got, err := store.TryLock(ctx, words[1])
		return fmt.Sprint(got), err
	case "unlock":
		return "done", store.Unlock(ctx, words[1])
	case "renew":
		return "done", store.RenewLockLease(ctx, words[1], time.Hour)
	case "store":
		return "done", store.Store(ctx, words[1], []byte(words[2]))
	case "delete":
		return "done", store.Delete(ctx, words[1])
	case "load":
		value, err := store.Load(ctx, words[1])
		return string(value), err
	case "count":
		return "done", countUnderLock(ctx, store, words[1])
	}
	return carryOutACME(t, store, task.ACME, words)
}

// countUnderLock adds one to a number, ten times, in the manner that loses what others add unless a lock excludes them.
func countUnderLock(ctx context.Context, store *sqlstore.Store, name string) error {
	for range 10 {
		if err := store.Lock(ctx, name); err != nil {
			return err
		}
		if err := addOne(ctx, store, "counters/"+name); err != nil {
			return err
		}
		if err := store.Unlock(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func addOne(ctx context.Context, store *sqlstore.Store, key string) error {
	text, err := store.Load(ctx, key)
	if err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		return err
	}
	time.Sleep(time.Millisecond)
	return store.Store(ctx, key, fmt.Append(nil, n+1))
}
