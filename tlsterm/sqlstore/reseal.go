package sqlstore

import (
	"context"
	"errors"
	"io/fs"
)

// resealPage is how many names are fetched at once.
const resealPage = 200

// Reseal seals with the first of Config.Keys whatever is not, and returns how
// many values that were. When it succeeds, no other key is needed any more,
// provided that no process still seals with one. It may run beside other work:
// a value that somebody changes meanwhile is left to them. Times of change stay.
// It goes on after a value that cannot be opened, which the error then names.
func (s *Store) Reseal(ctx context.Context) (resealed int, err error) {
	if s.sealer.first == "" {
		return 0, errors.New("sqlstore: resealing: there are no Keys")
	}
	var errs error
	for last := ""; ; {
		keys, err := s.texts(ctx, `SELECT key FROM {values} WHERE sealed <> $1 AND key > $2::text ORDER BY key LIMIT $3`,
			s.sealer.first, last, resealPage)
		if err != nil || len(keys) == 0 {
			return resealed, errors.Join(errs, failed("resealing", s.table.name, err))
		}
		for _, key := range keys {
			done, err := s.resealOne(ctx, key)
			errs = errors.Join(errs, failed("resealing", key, err))
			if done {
				resealed++
			}
		}
		last = keys[len(keys)-1]
	}
}

// resealOne replaces a value unless somebody else has.
func (s *Store) resealOne(ctx context.Context, key string) (bool, error) {
	value, old, oldID, err := s.load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stored, id := s.sealer.seal(key, value)
	changed, err := s.exec(ctx, `UPDATE {values} SET value = $2, sealed = $3 WHERE key = $1 AND sealed = $4 AND value = $5`,
		key, stored, id, oldID, old)
	return changed == 1, err
}
