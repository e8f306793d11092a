package sqlstore

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A recursive list is what walking a file system with the same files visits, in that order.
func TestListsLikeAFileSystem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "a-b", "a.b", "ab", "ä", "0", "%", "z z"}
	for range 200 {
		files := make(fstest.MapFS)
		for range 1 + random.IntN(12) {
			key := parts[random.IntN(len(parts))]
			for i := range random.IntN(4) {
				key += fmt.Sprintf("/%s%d", parts[random.IntN(len(parts))], i)
			}
			files[key+"/file"] = &fstest.MapFile{}
		}
		var keys, want []string
		for key := range files {
			keys = append(keys, key)
		}
		require.NoError(t, fs.WalkDir(files, ".", func(path string, _ fs.DirEntry, err error) error {
			want = append(want, path)
			return err
		}))
		got := sorted(withDirectories("", keys))
		assert.Equal(t, want[1:], got)
		random.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		assert.Equal(t, want[1:], sorted(slices.Clone(got)))
	}
}

// What leads to the directory that is listed is not in it.
func TestListBelow(t *testing.T) {
	got := sorted(withDirectories("a/b/", []string{"a/b/c/d", "a/b/e", "a/b/c/d/f"}))
	assert.Equal(t, []string{"a/b/c", "a/b/c/d", "a/b/c/d/f", "a/b/e"}, got)
	assert.Empty(t, withDirectories("a/", nil))
}
