package proxyproto_test

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// Every way in which a trusted sender can fail has a line that names it.
func TestLog(t *testing.T) {
	const damaged = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x13\xc0\x00\x02\x09\x0a\x00\x00\x01\x03\xe8\x01\xbb\x03\x00\x04wrng"
	for _, c := range []struct {
		name, text string
		hangUp     bool
		level      slog.Level
		reason     string
		began      string
	}{
		{"HTTP", "GET /secret HTTP/1.1\r\n", false, slog.LevelWarn, "no_header", `"GET /sec"`},
		{"TLS", "\x16\x03\x01", false, slog.LevelWarn, "no_header", `"\x16\x03\x01"`},
		{"silence", "", false, slog.LevelWarn, "silent", `""`},
		{"slowness", "PROXY TCP4 192.0.2.9", false, slog.LevelWarn, "slow", `"PROXY TCP4 192.0.2.9"`},
		{"a bare connection", "", true, slog.LevelDebug, "left", `""`},
		{"half a header", "PROXY TCP4 192.0.2.9", true, slog.LevelWarn, "cut", `"PROXY TCP4 192.0.2.9"`},
		{"a malformed line", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 65536\r\n", false, slog.LevelWarn, "bad_line", `"PROXY TCP4 192.0.2.9 10.0.0.1 1000 65536\r\n"`},
		{"a long line", "PROXY UNKNOWN " + strings.Repeat("x", 100), false, slog.LevelWarn, "too_long", `"PROXY UNKNOWN ` + strings.Repeat("x", 93) + `"`},
		{"a wrong checksum", damaged, false, slog.LevelWarn, "bad_checksum",
			`"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x13\xc0\x00\x02\t\n\x00\x00\x01\x03\xe8\x01\xbb\x03\x00\x04wrng"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				cfg := quiet()
				cfg.Logger = j.logger(slog.LevelDebug)
				ln := newFake()
				listen(t, ln, cfg)
				theirs, _ := ln.connect(balancer)
				if c.text != "" {
					_, _ = io.WriteString(theirs, c.text) // refused in the middle, perhaps
				}
				if c.hangUp {
					_ = theirs.Close()
				}
				time.Sleep(time.Minute)
				lines := j.lines()
				require.Len(t, lines, 1)
				text := lines[0]
				assert.Contains(t, text, "level="+c.level.String()+" ")
				assert.Contains(t, text, "msg=\"proxyproto: ")
				assert.Contains(t, text, " reason="+c.reason+" ")
				assert.Contains(t, text, " fix=")
				assert.Contains(t, text, " peer="+balancer+" ")
				assert.Contains(t, text, " suppressed=0")
				began := c.began
				if strings.ContainsAny(began, `\ "`) {
					began = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(began) + `"`
				}
				assert.Contains(t, text, " began="+began+" ")
			})
		})
	}
}

// One line a minute for each reason and network; the next one says how many
// there were in between.
func TestLogIsBrief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		cfg := quiet()
		cfg.Logger = j.logger(slog.LevelWarn)
		ln := newFake()
		listen(t, ln, cfg)
		fail := func(from, text string) {
			theirs, _ := ln.connect(from)
			_, _ = io.WriteString(theirs, text)
			_ = theirs.Close()
			synctest.Wait()
		}
		for range 100 {
			fail("10.0.16.5:1", "GET")
			fail("10.0.16.6:1", "GET") // the same network
		}
		fail("10.0.17.5:1", "GET")   // another
		fail("10.0.16.5:1", "PROXY") // another reason
		time.Sleep(time.Minute)
		fail("10.0.16.7:1", "GET")
		lines := j.lines()
		require.Len(t, lines, 4)
		assert.Contains(t, lines[0], "peer=10.0.16.5:1 ")
		assert.Contains(t, lines[1], "peer=10.0.17.5:1 ")
		assert.Contains(t, lines[2], "reason=cut ")
		assert.Contains(t, lines[3], "suppressed=199")
	})
}

// Whoever makes room is named; what ends with the listener is nobody's fault.
func TestLogOfEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		cfg := quiet()
		cfg.Logger, cfg.MaxPending = j.logger(slog.LevelDebug), 1
		ln := newFake()
		l := listen(t, ln, cfg)
		_, _ = ln.connect("10.0.16.5:1")
		synctest.Wait()
		_, _ = ln.connect("10.0.16.6:2")
		synctest.Wait()
		require.NoError(t, l.Close())
		lines := j.lines()
		require.Len(t, lines, 1)
		assert.Contains(t, lines[0], "reason=evicted ")
		assert.Contains(t, lines[0], "peer=10.0.16.5:1 ")
	})
}

// Peers without an address are named too.
func TestLogNamesEveryPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, addr := range map[string]net.Addr{"unix": &net.UnixAddr{Net: "unix"}, "unreadable": &net.IPNet{}} {
			var j journal
			ln := newFake()
			listen(t, ln, proxyproto.Config{DangerouslyAnyPeer: true, Logger: j.logger(slog.LevelWarn)})
			theirs, ours := net.Pipe()
			ln.results <- &pipeConn{Conn: ours, local: addr, remote: addr}
			_, _ = io.WriteString(theirs, "GET")
			requireEnded(t, theirs)
			synctest.Wait()
			assert.Contains(t, j.lines()[0], " peer="+want+" ")
		}
	})
}

// Without a Logger the process's default one is asked, at the time of the line.
func TestDefaultLogger(t *testing.T) {
	var j journal
	old := slog.Default()
	defer slog.SetDefault(old)
	ln := newFake()
	l := listen(t, ln, proxyproto.Config{From: []string{"10.0.16.0/20"}})
	slog.SetDefault(j.logger(slog.LevelWarn))
	theirs, _ := ln.connect(balancer)
	_, _ = io.WriteString(theirs, "GET")
	requireEnded(t, theirs)
	require.NoError(t, l.Close())
	assert.Contains(t, j.lines()[0], "reason=no_header")
}
