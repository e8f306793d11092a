package healthcheck

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rpc makes a call of gRPC and returns the message and the status, wherever it
// stands.
func rpc(t *testing.T, client *http.Client, url string, body []byte) (message []byte, status string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 200, res.StatusCode)
	assert.Equal(t, "application/grpc", res.Header.Get("Content-Type"))
	message, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	if status = res.Trailer.Get("Grpc-Status"); status == "" {
		status = res.Header.Get("Grpc-Status")
	}
	return message, status
}

// request frames a HealthCheckRequest.
func request(service string) []byte {
	if service == "" {
		return []byte{0, 0, 0, 0, 0}
	}
	message := append([]byte{1<<3 | 2, byte(len(service))}, service...)
	return append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
}

func TestGRPCCheck(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	base := "http://" + serveOn(t, h.Wrap(nobody(t)))
	client := h2cClient(t)
	beat := h.Heartbeat("loop", time.Hour, Local)
	expect := func(service string, message []byte, status string) {
		t.Helper()
		got, code := rpc(t, client, base+grpcCheckPath, request(service))
		assert.Equal(t, message, got, service)
		assert.Equal(t, status, code, service)
	}
	yes, no := []byte{0, 0, 0, 0, 2, 8, 1}, []byte{0, 0, 0, 0, 2, 8, 2}
	expect("", no, "0")
	expect("readiness", no, "0")
	expect("liveness", yes, "0")
	expect("startup", yes, "0")
	beat()
	expect("", yes, "0")
	expect("my.Service", []byte{}, "5")
	h.Drain()
	expect("", no, "0")
	expect("liveness", yes, "0")
	require.Len(t, h.Snapshot().Probers, 1, "a call is a probe")
	assert.Equal(t, 503, h.Snapshot().Probers[0].Code)
}

// A target group of protocol version gRPC with AWS's default settings: 12 is
// healthy, and a drain leaves rotation, which no unimplemented path does.
func TestGRPCOfALB(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	base := "http://" + serveOn(t, h.Wrap(nobody(t)))
	client := h2cClient(t)
	beat := h.Heartbeat("loop", time.Hour, Local)
	_, status := rpc(t, client, base+grpcALBPath, nil)
	assert.Equal(t, "14", status)
	beat()
	_, status = rpc(t, client, base+grpcALBPath, []byte{0, 0, 0, 0, 0})
	assert.Equal(t, "12", status)
	h.Drain()
	_, status = rpc(t, client, base+grpcALBPath, nil)
	assert.Equal(t, "14", status)
	require.Len(t, h.Snapshot().Probers, 1)
	assert.EqualValues(t, 3, h.Snapshot().Probers[0].Answers)
}

func TestGRPCWatch(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	base := "http://" + serveOn(t, h.Wrap(nobody(t)))
	req, err := http.NewRequest(http.MethodPost, base+grpcWatchPath, bytes.NewReader(request("")))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc+proto")
	res, err := h2cClient(t).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	next := func() byte {
		t.Helper()
		message := make([]byte, 7)
		_, err := io.ReadFull(res.Body, message)
		require.NoError(t, err)
		return message[6]
	}
	assert.EqualValues(t, serving, next())
	beat := h.Heartbeat("loop", time.Hour, Local)
	assert.EqualValues(t, notServing, next())
	beat()
	assert.EqualValues(t, serving, next())
	h.Drain()
	assert.EqualValues(t, notServing, next())
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err, "it ends, so that the server can")
	assert.Equal(t, "14", res.Trailer.Get("Grpc-Status"))
	assert.Eventually(t, func() bool { return h.watchers.Load() == 0 }, 10*time.Second, time.Millisecond)
}

func TestGRPCWatchOfAnUnknownService(t *testing.T) {
	var h Health
	base := "http://" + serveOn(t, h.Wrap(nobody(t)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+grpcWatchPath, bytes.NewReader(request("my.Service")))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc")
	res, err := h2cClient(t).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	message := make([]byte, 7)
	_, err = io.ReadFull(res.Body, message)
	require.NoError(t, err)
	assert.EqualValues(t, serviceUnknown, message[6])
	cancel()
	assert.Eventually(t, func() bool { return h.watchers.Load() == 0 }, 10*time.Second, time.Millisecond, "who hangs up is gone")
}

func TestGRPCWatchersAreBounded(t *testing.T) {
	var h Health
	h.watchers.Store(maxWatchers)
	base := "http://" + serveOn(t, h.Wrap(nobody(t)))
	_, status := rpc(t, h2cClient(t), base+grpcWatchPath, request(""))
	assert.Equal(t, "8", status)
	assert.EqualValues(t, maxWatchers, h.watchers.Load())
}

func TestGRPCBadRequests(t *testing.T) {
	var h Health
	base := "http://" + serveOn(t, h.GRPC())
	client := h2cClient(t)
	for name, body := range map[string][]byte{
		"nothing":        {},
		"half a head":    {0, 0},
		"compressed":     {1, 0, 0, 0, 0},
		"too long":       append([]byte{0, 0, 0, 4, 2, 10, 0xff, 7}, make([]byte, 1023)...),
		"cut":            {0, 0, 0, 0, 9, 10},
		"no field":       {0, 0, 0, 0, 1, 0x80},
		"field too long": {0, 0, 0, 0, 2, 10, 200},
		"group":          {0, 0, 0, 0, 1, 11},
	} {
		_, status := rpc(t, client, base+grpcCheckPath, body)
		assert.Equal(t, "3", status, name)
	}
	_, status := rpc(t, client, base+"/grpc.health.v1.Health/List", request(""))
	assert.Equal(t, "12", status)
}

func TestOnlyGRPCIsGRPC(t *testing.T) {
	var h Health
	for _, row := range []struct {
		method, kind, path string
		major              int
		ours               bool
	}{
		{"POST", "application/grpc", grpcCheckPath, 2, true},
		{"POST", "application/grpc;x=y", grpcALBPath, 2, true},
		{"POST", "application/grpc", grpcCheckPath, 1, false},
		{"GET", "application/grpc", grpcCheckPath, 2, false},
		{"POST", "application/json", grpcCheckPath, 2, false},
		{"POST", "application/grpc-web", grpcCheckPath, 2, false},
		{"POST", "", grpcCheckPath, 2, false},
		{"POST", "application/grpc", "/grpc.health.v1.Health/List", 2, false},
		{"POST", "application/grpc", "/grpc.health.v1.Health/%43heck", 2, false},
	} {
		r := httptest.NewRequest(row.method, row.path, bytes.NewReader(request("")))
		r.ProtoMajor = row.major
		if row.kind != "" {
			r.Header.Set("Content-Type", row.kind)
		}
		w := httptest.NewRecorder()
		h.Wrap(teapot).ServeHTTP(w, r)
		assert.Equal(t, row.ours, w.Code == 200, "%+v", row)
		assert.Equal(t, row.ours, h.isProbe()(r), "%+v", row)
	}
	w := httptest.NewRecorder()
	h.GRPC().ServeHTTP(w, httptest.NewRequest(http.MethodGet, grpcCheckPath, nil))
	assert.Equal(t, http.StatusUnsupportedMediaType, w.Code)
}

func TestServiceNames(t *testing.T) {
	for _, row := range []struct {
		message string
		name    string
		ok      bool
	}{
		{"", "", true},
		{"\x0a\x02ab", "ab", true},
		{"\x0a\x02ab\x0a\x01c", "c", true},
		{"\x10\x05\x0a\x01c", "c", true}, // a varint before
		{"\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04", "", true}, // fixed ones
		{"\x12\x01x", "", true}, // another text
		{"\x10", "", false}, {"\x10\x80", "", false}, {"\x19\x01", "", false}, {"\x0a", "", false}, {"\x0b", "", false},
	} {
		name, err := parseServiceName([]byte(row.message))
		assert.Equal(t, row.ok, err == nil, "%q", row.message)
		assert.Equal(t, row.name, name, "%q", row.message)
	}
}

// FuzzServiceName: whatever comes, the name is a part of it.
func FuzzServiceName(f *testing.F) {
	f.Add([]byte("\x0a\x02ab"))
	f.Add([]byte("\x10\x05\x0a\x01c\x19\x01\x02\x03\x04\x05\x06\x07\x08"))
	f.Fuzz(func(t *testing.T, message []byte) {
		name, err := parseServiceName(message)
		if err == nil && !strings.Contains(string(message), name) {
			t.Errorf("%q is not in %q", name, message)
		}
	})
}
