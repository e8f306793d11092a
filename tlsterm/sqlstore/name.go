package sqlstore

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// maxName is the length in bytes up to which keys and names of locks are
// accepted. PostgreSQL's index would take 2.7 kB.
const maxName = 1024

// badText says why the database could not keep s as text, if so.
func badText(s string) string {
	switch {
	case s == "":
		return "empty"
	case len(s) > maxName:
		return fmt.Sprintf("longer than %d bytes", maxName)
	case !utf8.ValidString(s):
		return "not UTF-8"
	case strings.ContainsRune(s, 0):
		return "holds a zero byte"
	}
	return ""
}

// badKey says what is wrong with a key, if anything: certmagic's are paths
// without slashes at the ends. What a file system would take for another path
// is refused, so that no two keys mean the same.
func badKey(key string) string {
	if why := badText(key); why != "" {
		return why
	}
	for part := range strings.SplitSeq(key, "/") {
		switch part {
		case "":
			return "an empty part"
		case ".", "..":
			return "a part that leads elsewhere"
		}
	}
	return ""
}

// checkKey returns an error that is fs.ErrInvalid for what is no key.
func checkKey(key string) error {
	if why := badKey(key); why != "" {
		return fmt.Errorf("%s: %w", why, fs.ErrInvalid)
	}
	return nil
}

// below returns the bounds between which, compared by bytes, exactly the keys in
// a directory lie: from "dir/" to before "dir0", zero being what follows the
// slash. Unlike with LIKE, no character of dir means anything else. The root
// has no upper bound.
func below(dir string) (from, to string) {
	if dir == "" {
		return "", ""
	}
	return dir + "/", dir + string(rune('/'+1))
}
