package healthcheck

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func well(context.Context) error { return nil }

func TestNewReportsEveryMistakeInOrder(t *testing.T) {
	h, err := New(Config{
		Checks: []Check{
			{Name: "db", Func: well, Gate: time.Minute, Kind: Local},
			{Name: "", Kind: 9},
			{Name: "db", Func: well, Kind: Watchdog, Gate: -1, Every: -1, Timeout: -1, Failures: -1, Successes: -1},
			{Name: "a:b", Func: well},
			{Name: strings.Repeat("x", 65), Func: well},
		},
		Paths: Paths{Health: "healthz", Ready: "/livez", Startup: "/a?b"},
		Every: -1, Timeout: -1,
	})
	assert.Nil(t, h)
	var errs ConfigErrors
	require.ErrorAs(t, err, &errs)
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
		assert.NotEmpty(t, e.Reason, e.Field)
		assert.NotEmpty(t, e.Fix, e.Field)
	}
	assert.Equal(t, []string{
		"Checks[0].Gate",
		"Checks[1].Name", "Checks[1].Func", "Checks[1].Kind",
		"Checks[2].Kind", "Checks[2].Gate", "Checks[2].Every", "Checks[2].Timeout", "Checks[2].Failures", "Checks[2].Successes", "Checks[2].Name",
		"Checks[3].Name", "Checks[4].Name",
		"Paths.Health", "Paths.Live", "Paths.Startup",
		"Every", "Timeout",
	}, fields)
}

func TestMustPanics(t *testing.T) {
	assert.Panics(t, func() { Must(New(Config{Every: -1})) })
	assert.NotNil(t, Must(New(Config{})))
}

func TestPathsRefused(t *testing.T) {
	for _, path := range []string{"healthz", "/", "/a b", "/%68", "/a?b", "/a#b", "/a//b", "/a/../b", "/./a", "//a", "/ü", "/grpc.health.v1.Health/Check", "/livez"} {
		_, err := New(Config{Paths: Paths{Ready: path}})
		assert.Error(t, err, path)
	}
	for _, path := range []string{"/up", "/-/ready", "/a/b.c", "/up/", "/healthz"} {
		_, err := New(Config{Paths: Paths{Ready: path}})
		assert.NoError(t, err, path)
	}
}

func TestPathsRenamed(t *testing.T) {
	h := mustNew(t, Config{Paths: Paths{Health: "/up", Live: "/alive"}})
	app := h.Wrap(teapot)
	for path, want := range map[string]int{
		"/up": 200, "/readyz": 200, "/alive": 200, "/startupz": 200,
		"/healthz": 418, "/livez": 418,
	} {
		assert.Equal(t, want, probe(t, app, path, "10.0.0.1"), path)
	}
}

func TestNewCopiesChecks(t *testing.T) {
	cfg := Config{Checks: []Check{{Name: "a", Func: well}}}
	h := mustNew(t, cfg)
	cfg.Checks[0].Name = "b"
	assert.Equal(t, "a", h.Snapshot().Checks[0].Name)
}

func TestDefaults(t *testing.T) {
	s := newCheck(&Check{}, &Config{})
	assert.Equal(t, 10*time.Second, s.every)
	assert.Equal(t, 2*time.Second, s.timeout)
	assert.Equal(t, 3, s.failures)
	assert.Equal(t, 2, s.success)
	s = newCheck(&Check{Every: 3, Timeout: 4}, &Config{Every: 1, Timeout: 2})
	assert.Equal(t, [2]time.Duration{3, 4}, [2]time.Duration{s.every, s.timeout})
}

func TestKindText(t *testing.T) {
	for _, kind := range []Kind{Dependency, Startup, Local, Watchdog} {
		text, err := kind.MarshalText()
		require.NoError(t, err)
		var back Kind
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, kind, back)
		assert.Equal(t, kind.String(), string(text))
	}
	_, err := Kind(9).MarshalText()
	assert.Error(t, err)
	assert.Error(t, new(Kind).UnmarshalText([]byte("critical")))
	assert.Equal(t, "Kind(9)", Kind(9).String())
	assert.Equal(t, "Status(9)", Status(9).String())
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"db": "db", "": "unnamed", "a:b\n\"c\"": "a_b__c_", "ü": "_", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		assert.Equal(t, want, cleanName(in))
		assert.Empty(t, badName(cleanName(in)))
	}
}

// FuzzPath: a path that New takes is answered when it is sent as it is.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/healthz", "//healthz", "/a b", "/%41", "/a/./b", "/a;b", "/a?b", "/", "/x\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if path == "" {
			return
		}
		h, err := New(Config{Paths: Paths{Ready: path}})
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.Wrap(nobody(t)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		assert.Equal(t, http.StatusOK, w.Code)
	})
}
