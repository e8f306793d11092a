package sqlstore

import (
	"cmp"
	"context"
	"io/fs"
	"slices"
	"strings"
)

// List returns the keys and directories in dir, sorted by their parts as
// walking a file system would: only those directly in it or, if recursive,
// everything below. The empty dir is the root. A dir that does not exist is
// fs.ErrNotExist; one that is a value is an empty list.
func (s *Store) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	keys, err := s.list(ctx, dir, recursive)
	return keys, failed("listing", dir, err)
}

func (s *Store) list(ctx context.Context, dir string, recursive bool) ([]string, error) {
	if dir != "" {
		if err := checkKey(dir); err != nil {
			return nil, err
		}
	}
	keys, err := s.children(ctx, dir, recursive)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	exists, err := s.exists(ctx, dir)
	if err == nil && !exists {
		err = fs.ErrNotExist
	}
	return nil, err
}

func (s *Store) children(ctx context.Context, dir string, recursive bool) ([]string, error) {
	from, to := below(dir)
	if recursive {
		keys, err := s.texts(ctx, `SELECT key FROM {values} WHERE `+inside, from, to)
		return sorted(withDirectories(from, keys)), err
	}
	keys, err := s.texts(ctx, `SELECT DISTINCT $1::text || split_part(substr(key, char_length($1::text) + 1), '/', 1)
		FROM {values} WHERE `+inside, from, to)
	return sorted(keys), err
}

// withDirectories adds to keys, which begin with from, the directories that
// lead to them.
func withDirectories(from string, keys []string) []string {
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		for end := len(key); end > len(from) && !seen[key[:end]]; end = strings.LastIndexByte(key[:end], '/') {
			seen[key[:end]] = true
		}
	}
	all := make([]string, 0, len(seen))
	for key := range seen {
		all = append(all, key)
	}
	return all
}

// sorted orders keys part by part: what is in "a" comes before "a-b", although
// the dash is less than the slash.
func sorted(keys []string) []string {
	slash := strings.NewReplacer("/", "\x00")
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(slash.Replace(a), slash.Replace(b)) })
	return keys
}
