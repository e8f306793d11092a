package sqlstore

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func secretOf(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keySize))
}

func TestConfigErrors(t *testing.T) {
	secret := secretOf(1)
	_, err := New(Config{
		Table:    "certs",
		Keys:     []Key{{ID: "a b", Secret: secret[:20]}, {ID: "k", Secret: "env:SQLSTORE_TEST_UNSET"}, {ID: "k", Secret: "file:/nowhere"}, {}},
		MaxValue: -1, Timeout: -1, Lease: time.Millisecond, Poll: time.Hour, Holder: "\xff",
	})
	var errs ConfigErrors
	require.ErrorAs(t, err, &errs)
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
		assert.NotEmpty(t, e.Reason)
		assert.NotEmpty(t, e.Fix)
	}
	assert.Equal(t, []string{
		"DB", "Table", "Keys[0].ID", "Keys[0].Secret", "Keys[1].Secret", "Keys[2].ID", "Keys[2].Secret", "Keys[3].ID", "Keys[3].Secret",
		"MaxValue", "Timeout", "Lease", "Poll", "Holder",
	}, fields)
	assert.NotContains(t, err.Error(), secret[:20])
	assert.Contains(t, err.Error(), "env:SQLSTORE_TEST_UNSET")

	_, err = New(Config{DB: new(sql.DB), DangerouslyAcceptPlain: true})
	assert.ErrorContains(t, err, "DangerouslyAcceptPlain")
}

func TestDefaults(t *testing.T) {
	s, err := New(Config{DB: new(sql.DB)})
	require.NoError(t, err)
	want := Config{DB: s.cfg.DB, MaxValue: 1 << 20, Timeout: 10 * time.Second, Lease: 30 * time.Second, Poll: time.Second,
		Holder: s.cfg.Holder, Logger: slog.Default()}
	assert.Equal(t, want, s.cfg)
	assert.Contains(t, s.cfg.Holder, fmt.Sprint(os.Getpid()))
	assert.Equal(t, `"public"."tlsterm"`, s.table.values)
}

// What the caller changes later changes nothing here.
func TestConfigIsCopied(t *testing.T) {
	keys := []Key{{ID: "k", Secret: secretOf(1)}}
	s, err := New(Config{DB: new(sql.DB), Keys: keys})
	require.NoError(t, err)
	keys[0].ID = "x"
	assert.Equal(t, "k", s.cfg.Keys[0].ID)
}

func TestTable(t *testing.T) {
	long := strings.Repeat("x", 63)
	for name, want := range map[string]string{
		"":                    `"public"."tlsterm" "public"."tlsterm_locks"`,
		"a.b":                 `"a"."b" "a"."b_locks"`,
		"A.B":                 `"A"."B" "A"."B_locks"`,
		`a.b"; DROP TABLE c`:  `"a"."b""; DROP TABLE c" "a"."b""; DROP TABLE c_locks"`,
		`"a"."b"`:             `"""a"""."""b""" """a"""."""b""_locks"`,
		long + "." + long[6:]: `"` + long + `"."` + long[6:] + `" "` + long + `"."` + long[6:] + `_locks"`,
	} {
		var errs ConfigErrors
		got := parseTable(name, &errs)
		assert.NoError(t, errs.Err(), name)
		assert.Equal(t, want, got.values+" "+got.locks, name)
	}
	for _, name := range []string{"a", ".a", "a.", ".", "a.b.c", "a.b\x00", "a.\xff", long + "x.a", "a." + long[5:]} {
		_, err := Schema(name)
		assert.Error(t, err, "%q", name)
		var errs ConfigErrors
		assert.True(t, errors.As(err, &errs))
	}
}

func TestSchema(t *testing.T) {
	text, err := Schema("certs.shop")
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(text, "CREATE TABLE IF NOT EXISTS"))
	assert.Contains(t, text, `"certs"."shop" (`)
	assert.Contains(t, text, `"certs"."shop_locks" (`)
	assert.Equal(t, 2, strings.Count(text, ");\n"))
}

func TestKeyReferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(secretOf(1)+"\n"), 0o600))
	t.Setenv("SQLSTORE_TEST_KEY", secretOf(1))
	var errs ConfigErrors
	s := compileKeys([]Key{{"file", "file:" + path}, {"env", "env:SQLSTORE_TEST_KEY"}, {"text", strings.TrimRight(secretOf(1), "=")}}, &errs)
	require.NoError(t, errs.Err())
	stored, id := s.seal("a", []byte("v"))
	require.Equal(t, "file", id)
	for _, other := range []string{"env", "text"} { // the same secret, but the ID is sealed in
		_, err := s.open("a", stored, other)
		assert.Error(t, err)
	}
	got, err := s.open("a", stored, id)
	assert.NoError(t, err)
	assert.Equal(t, "v", string(got))
}

// Nothing prints a secret.
func TestKeyIsRedacted(t *testing.T) {
	secret := secretOf(7)
	key := Key{ID: "k", Secret: secret}
	cfg := Config{Keys: []Key{key}}
	text, err := json.Marshal(cfg.Keys)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "keys", cfg.Keys)
	for _, printed := range []string{
		string(text), log.String(), key.String(), fmt.Sprint(cfg), fmt.Sprintf("%+v %#v %q %x %d", cfg, key, key, key, key),
	} {
		assert.NotContains(t, printed, secret)
		assert.NotContains(t, printed, secret[:16])
		assert.NotContains(t, strings.ToLower(printed), fmt.Sprintf("%x", secret[:8]))
	}
	for _, ref := range []string{"env:NAME", "file:/run/secrets/k"} {
		text, err := Key{ID: "k", Secret: ref}.MarshalText()
		require.NoError(t, err)
		assert.Equal(t, "k:"+ref, string(text))
		var back Key
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, Key{ID: "k", Secret: ref}, back)
	}
	assert.Error(t, new(Key).UnmarshalText([]byte("k")))
	var errs ConfigErrors
	compileKeys([]Key{{ID: "k", Secret: redacted}}, &errs)
	assert.Error(t, errs.Err(), "a printed key was taken for one")
}
