//go:build linux

package peers

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// What a file system does differently from a table, for the reasons given.
type storageQuirks struct {
	// Directories are made, and stay when the last file in them goes; a table has only the keys.
	emptyDirectoriesStay bool
	// A file cannot have files below it; a key with a value can have keys below it.
	fileOrDirectory bool
	// Paths are cleaned, so that several keys mean one file; a table refuses all but the clean one.
	cleansPaths bool
	// Delete("") is taken for everything; a table refuses it.
	deletesRoot bool
	// A context that has ended is not looked at.
	ignoresContext bool
	// A part of a key is limited to 255 bytes, and its name to what file systems can write.
	shortParts bool
	// Unlock does not know who locked.
	unlocksForOthers bool
}

// fileQuirks are certmagic.FileStorage's, on Linux.
var fileQuirks = storageQuirks{
	emptyDirectoriesStay: true, fileOrDirectory: true, cleansPaths: true, deletesRoot: true,
	ignoresContext: true, shortParts: true, unlocksForOthers: true,
}

// testStorage is what certmagic may expect of a Storage, taken from the comments of the interface and from how
// FileStorage, which it is developed with, behaves.
func testStorage(t *testing.T, quirks storageQuirks, open func(*testing.T) certmagic.Storage) {
	for name, test := range map[string]func(*testing.T, certmagic.Storage, storageQuirks){
		"values":      testStorageValues,
		"missing":     testStorageMissing,
		"directories": testStorageDirectories,
		"lists":       testStorageLists,
		"prefixes":    testStoragePrefixes,
		"weird keys":  testStorageWeirdKeys,
		"bad keys":    testStorageBadKeys,
		"stat":        testStorageStat,
		"concurrent":  testStorageConcurrent,
		"locks":       testStorageLocks,
		"contexts":    testStorageContexts,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t), quirks) })
	}
}

func put(t *testing.T, s certmagic.Storage, keys ...string) {
	t.Helper()
	for _, key := range keys {
		require.NoError(t, s.Store(t.Context(), key, []byte("value of "+key)))
	}
}

func testStorageValues(t *testing.T, s certmagic.Storage, _ storageQuirks) {
	random := bytes.Repeat([]byte{0, 1, 0xff, '\\', '\'', '%'}, 175_000) // 1.05 MB
	require.Greater(t, len(random), 1<<20)
	for name, value := range map[string][]byte{
		"nil": nil, "empty": {}, "one": {0}, "text": []byte("-----BEGIN"), "megabyte": random[:1<<20],
	} {
		require.NoError(t, s.Store(t.Context(), "a/"+name, value))
		got, err := s.Load(t.Context(), "a/"+name)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(value, got), "%s: %d bytes came back as %d", name, len(value), len(got))
	}
	require.NoError(t, s.Store(t.Context(), "a/text", []byte("other")))
	got, err := s.Load(t.Context(), "a/text")
	require.NoError(t, err)
	assert.Equal(t, "other", string(got))
	got[0] = 'x'
	again, err := s.Load(t.Context(), "a/text")
	require.NoError(t, err)
	assert.Equal(t, "other", string(again), "what Load returned is shared")
}

func testStorageMissing(t *testing.T, s certmagic.Storage, _ storageQuirks) {
	put(t, s, "here/is/something")
	for _, key := range []string{"gone", "here/gone", "here/is/something-else", "her", "here/is/some"} {
		_, err := s.Load(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrNotExist, "Load %s", key)
		_, err = s.Stat(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrNotExist, "Stat %s", key)
		for _, recursive := range []bool{false, true} {
			_, err = s.List(t.Context(), key, recursive)
			assert.ErrorIs(t, err, fs.ErrNotExist, "List %s", key)
		}
		assert.False(t, s.Exists(t.Context(), key), "Exists %s", key)
		assert.NoError(t, s.Delete(t.Context(), key), "Delete %s", key)
	}
	assert.True(t, s.Exists(t.Context(), "here/is/something"))
}

func testStorageDirectories(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	put(t, s, "a/b/c", "a/b/d", "a/e", "ab/c", "a-b/c")
	for _, dir := range []string{"a", "a/b", "ab"} {
		assert.True(t, s.Exists(t.Context(), dir), dir)
		_, err := s.Load(t.Context(), dir)
		assert.Error(t, err, "%s is a directory", dir)
	}
	require.NoError(t, s.Delete(t.Context(), "a/b"))
	keys, err := s.List(t.Context(), "", true)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "a/e", "a-b", "a-b/c", "ab", "ab/c"}, keys)

	require.NoError(t, s.Delete(t.Context(), "a"))
	keys, err = s.List(t.Context(), "", true)
	require.NoError(t, err)
	assert.Equal(t, []string{"a-b", "a-b/c", "ab", "ab/c"}, keys)

	require.NoError(t, s.Delete(t.Context(), "ab/c"))
	assert.Equal(t, quirks.emptyDirectoriesStay, s.Exists(t.Context(), "ab"))

	err = s.Store(t.Context(), "a-b/c/d", []byte("below a value"))
	assert.Equal(t, quirks.fileOrDirectory, err != nil, "%v", err)
	if !quirks.fileOrDirectory {
		info, err := s.Stat(t.Context(), "a-b/c")
		require.NoError(t, err)
		assert.True(t, info.IsTerminal)
		require.NoError(t, s.Delete(t.Context(), "a-b/c"))
		assert.False(t, s.Exists(t.Context(), "a-b"))
	}
}

func testStorageLists(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	if !quirks.emptyDirectoriesStay { // FileStorage's root is a directory that may not be there
		keys, err := s.List(t.Context(), "", false)
		require.NoError(t, err)
		assert.Empty(t, keys)
	}
	put(t, s, "c/x/1.crt", "c/x/1.key", "c/x/deep/er", "c/y/2.crt", "c/z", "c-other/1", "top")
	for _, test := range []struct {
		dir       string
		recursive bool
		want      []string
	}{
		{"", false, []string{"c", "c-other", "top"}},
		{"", true, []string{"c", "c/x", "c/x/1.crt", "c/x/1.key", "c/x/deep", "c/x/deep/er", "c/y", "c/y/2.crt", "c/z", "c-other", "c-other/1", "top"}},
		{"c", false, []string{"c/x", "c/y", "c/z"}},
		{"c", true, []string{"c/x", "c/x/1.crt", "c/x/1.key", "c/x/deep", "c/x/deep/er", "c/y", "c/y/2.crt", "c/z"}},
		{"c/x", false, []string{"c/x/1.crt", "c/x/1.key", "c/x/deep"}},
		{"c/z", false, nil},
		{"c/z", true, nil},
	} {
		got, err := s.List(t.Context(), test.dir, test.recursive)
		require.NoError(t, err, "%q", test.dir)
		slash := func(key string) string { return strings.ReplaceAll(key, "/", "\x00") }
		want := sortedBy(test.want, slash)
		assert.Equal(t, want, sortedBy(got, slash), "List(%q, %v)", test.dir, test.recursive)
	}
}

// testStoragePrefixes asks that a directory is a path, not the beginning of a name, and that no character of it stands
// for others.
func testStoragePrefixes(t *testing.T, s certmagic.Storage, _ storageQuirks) {
	put(t, s, "a_c/1", "abc/1", "a%/1", "axx/1", `a\_c/1`, `a\/1`, "A_C/1", "a.c/1", "a*/1", "a[b]c/1", "a0", "a/1", "äöü/1")
	for _, dir := range []string{"a_c", "a%", `a\_c`, `a\`, "A_C", "a.c", "a*", "a[b]c", "a", "äöü"} {
		for _, recursive := range []bool{false, true} {
			keys, err := s.List(t.Context(), dir, recursive)
			require.NoError(t, err, dir)
			assert.Equal(t, []string{dir + "/1"}, keys)
		}
	}
	require.NoError(t, s.Delete(t.Context(), "a_c"))
	require.NoError(t, s.Delete(t.Context(), "a%"))
	require.NoError(t, s.Delete(t.Context(), "a"))
	keys, err := s.List(t.Context(), "", false)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"abc", "axx", `a\_c`, `a\`, "A_C", "a.c", "a*", "a[b]c", "a0", "äöü"}, keys)
}

func testStorageWeirdKeys(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	keys := []string{
		"%", "_", `\`, `'`, `"`, `''; DROP TABLE x; --`, "$1", "?", ":a", "@p1", "{values}", "a b", " ", "\t", "a\nb",
		"\u00e4", "a\u0308", "漢字/🔒", "\u202eabc", "\U0010ffff", "...", "a..b", "-", ".hidden", "%00", `\x00`, "NULL", "E'\\n'",
		"wildcard_.example.com/wildcard_.example.com.crt",
	}
	if !quirks.shortParts {
		keys = append(keys, strings.Repeat("x", 1024), strings.Repeat("é/", 341)+"x")
	}
	for i, key := range keys {
		require.NoError(t, s.Store(t.Context(), key, fmt.Append(nil, i)), "%q", key)
	}
	for i, key := range keys {
		got, err := s.Load(t.Context(), key)
		require.NoError(t, err, "%q", key)
		assert.Equal(t, fmt.Sprint(i), string(got), "%q", key)
		info, err := s.Stat(t.Context(), key)
		require.NoError(t, err, "%q", key)
		assert.Equal(t, key, info.Key)
	}
	all, err := s.List(t.Context(), "", true)
	require.NoError(t, err)
	assert.Subset(t, all, keys)
	for i, key := range keys {
		require.NoError(t, s.Delete(t.Context(), key))
		assert.False(t, s.Exists(t.Context(), key), "%q", key)
		for _, other := range keys[i+1:] {
			require.True(t, s.Exists(t.Context(), other), "%q went with %q", other, key)
		}
	}
}

func testStorageBadKeys(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	if quirks.cleansPaths {
		t.Skip("paths are cleaned")
	}
	put(t, s, "a/b")
	for _, key := range []string{"", "/a/b", "a/b/", "a//b", "./a/b", "a/./b", "a/../a/b", "..", ".", "/", "a\x00", "a\xff", strings.Repeat("x", 1025)} {
		_, err := s.Load(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrInvalid, "Load %q", key)
		assert.ErrorIs(t, s.Store(t.Context(), key, []byte("x")), fs.ErrInvalid, "Store %q", key)
		assert.ErrorIs(t, s.Delete(t.Context(), key), fs.ErrInvalid, "Delete %q", key)
		if key == "" {
			continue
		}
		_, err = s.Stat(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrInvalid, "Stat %q", key)
		_, err = s.List(t.Context(), key, true)
		assert.ErrorIs(t, err, fs.ErrInvalid, "List %q", key)
		assert.False(t, s.Exists(t.Context(), key), "Exists %q", key)
	}
	assert.Equal(t, quirks.deletesRoot, !s.Exists(t.Context(), "a/b"))
	info, err := s.Stat(t.Context(), "")
	require.NoError(t, err)
	assert.False(t, info.IsTerminal)
	assert.True(t, s.Exists(t.Context(), ""))
}

func testStorageStat(t *testing.T, s certmagic.Storage, _ storageQuirks) {
	before := time.Now().Add(-time.Second)
	put(t, s, "users/old/a.json")
	require.NoError(t, s.Store(t.Context(), "users/old/empty", nil))
	time.Sleep(20 * time.Millisecond)
	put(t, s, "users/new/a.json")

	file, err := s.Stat(t.Context(), "users/old/a.json")
	require.NoError(t, err)
	assert.Equal(t, "users/old/a.json", file.Key)
	assert.EqualValues(t, len("value of users/old/a.json"), file.Size)
	assert.True(t, file.IsTerminal)
	assert.WithinRange(t, file.Modified, before, time.Now().Add(time.Second))
	empty, err := s.Stat(t.Context(), "users/old/empty")
	require.NoError(t, err)
	assert.Zero(t, empty.Size)

	// certmagic picks the account that was changed last by the time of its directory.
	older, err := s.Stat(t.Context(), "users/old")
	require.NoError(t, err)
	newer, err := s.Stat(t.Context(), "users/new")
	require.NoError(t, err)
	assert.False(t, older.IsTerminal)
	assert.Equal(t, "users/old", older.Key)
	assert.True(t, newer.Modified.After(older.Modified), "%v is not after %v", newer.Modified, older.Modified)
	time.Sleep(20 * time.Millisecond)
	put(t, s, "users/old/b.json")
	older, err = s.Stat(t.Context(), "users/old")
	require.NoError(t, err)
	assert.True(t, older.Modified.After(newer.Modified), "%v is not after %v", older.Modified, newer.Modified)
}

// testStorageConcurrent mixes writers and readers of one key: every value read was written whole.
func testStorageConcurrent(t *testing.T, s certmagic.Storage, _ storageQuirks) {
	value := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 20_000) }
	require.NoError(t, s.Store(t.Context(), "k", value(0)))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 10 {
				assert.NoError(t, s.Store(t.Context(), "k", value(i)))
				got, err := s.Load(t.Context(), "k")
				assert.NoError(t, err)
				assert.Len(t, got, 20_000)
				assert.Equal(t, 20_000, bytes.Count(got, got[:1]), "a mixture of values")
			}
		})
	}
	all.Wait()
}

func testStorageLocks(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	require.NoError(t, s.Lock(t.Context(), "issue_cert_*.example.com"))
	require.NoError(t, s.Lock(t.Context(), "another"))
	got, err := s.(certmagic.TryLocker).TryLock(t.Context(), "another")
	require.NoError(t, err)
	assert.False(t, got)

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, s.Lock(short, "another"), context.DeadlineExceeded)

	waited := make(chan error)
	go func() { waited <- s.Lock(t.Context(), "another") }()
	time.Sleep(50 * time.Millisecond)
	require.NoError(t, s.Unlock(t.Context(), "another"))
	require.NoError(t, <-waited)
	require.NoError(t, s.Unlock(t.Context(), "another"))
	assert.Error(t, s.Unlock(t.Context(), "another"), "nobody has it")
	assert.Error(t, s.Unlock(t.Context(), "never"))

	got, err = s.(certmagic.TryLocker).TryLock(t.Context(), "another")
	require.NoError(t, err)
	assert.True(t, got)
	ended, end := context.WithCancel(t.Context())
	end()
	assert.NoError(t, s.Unlock(ended, "another"), "a lock must be given back although its job was cancelled")
	require.NoError(t, s.Unlock(t.Context(), "issue_cert_*.example.com"))
	keys, err := s.List(t.Context(), "", false)
	if !quirks.unlocksForOthers { // FileStorage's locks are files in a directory of the storage
		require.NoError(t, err)
		assert.Empty(t, keys, "locks are no keys")
	}
}

func testStorageContexts(t *testing.T, s certmagic.Storage, quirks storageQuirks) {
	put(t, s, "a/b")
	if quirks.ignoresContext {
		t.Skip("the context is not looked at")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Load(ended, "a/b")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Stat(ended, "a/b")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.List(ended, "a", true)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, s.Store(ended, "a/b", nil), context.Canceled)
	assert.ErrorIs(t, s.Delete(ended, "a/b"), context.Canceled)
	assert.ErrorIs(t, s.Lock(ended, "a"), context.Canceled)
	assert.False(t, s.Exists(ended, "a/b"))
	assert.True(t, s.Exists(t.Context(), "a/b"))
}

func sortedBy(keys []string, by func(string) string) []string {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(by(a), by(b)) })
	return keys
}

// TestStorageConformance holds certmagic's own storage to the same rules, with its differences named.
func TestStorageConformance(t *testing.T) {
	testStorage(t, fileQuirks, func(t *testing.T) certmagic.Storage {
		return &certmagic.FileStorage{Path: t.TempDir()}
	})
}

func testSQLStoreConforms(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		db := pg.open(t, driver, pg.newDatabase(t), "")
		tables := 0
		for name, keys := range map[string][]sqlstore.Key{
			"plain":  nil,
			"sealed": {sealKey("new", 1), sealKey("old", 2)},
		} {
			t.Run(driver+"/"+name, func(t *testing.T) {
				testStorage(t, storageQuirks{}, func(t *testing.T) certmagic.Storage {
					tables++
					return newSQLStore(t, db, func(cfg *sqlstore.Config) {
						cfg.Keys, cfg.Table = keys, fmt.Sprintf(`public.We"ird 'täble' -- %%s %d`, tables)
					})
				})
			})
		}
	}
}
