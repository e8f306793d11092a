package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
)

// Store puts value at key, whatever was there. A value longer than
// Config.MaxValue is refused, and so is one for a certificate whose lock this
// Store holds and has lost: [ErrLeaseLost]. Unlike in a file system, a key may
// have a value and keys below it as well.
func (s *Store) Store(ctx context.Context, key string, value []byte) error {
	return failed("storing", key, s.put(ctx, key, value))
}

func (s *Store) put(ctx context.Context, key string, value []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if len(value) > s.cfg.MaxValue {
		return fmt.Errorf("%d bytes are more than the limit of %d", len(value), s.cfg.MaxValue)
	}
	stored, id := s.sealer.seal(key, value)
	const upsert = ` ON CONFLICT (key) DO UPDATE SET value = excluded.value, sealed = excluded.sealed, modified = excluded.modified`
	l := s.guard(key)
	if l == nil {
		_, err := s.exec(ctx, `INSERT INTO {values} (key, value, sealed, modified) VALUES ($1, $2, $3, clock_timestamp())`+upsert, key, stored, id)
		return err
	}
	changed, err := s.exec(ctx, heldByToken+`INSERT INTO {values} (key, value, sealed, modified)
		SELECT $3::text, $4::bytea, $5::text, clock_timestamp() FROM held`+upsert, l.name, l.token, key, stored, id)
	if err == nil && changed == 0 {
		return ErrLeaseLost
	}
	return err
}

// Load returns the value at key. Without one the error is fs.ErrNotExist. A
// value that is too long, or that none of the Keys opens, is an error too.
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, failed("loading", key, err)
	}
	value, _, _, err := s.load(ctx, key)
	return value, failed("loading", key, err)
}

// load also returns what is stored, for those who replace it.
func (s *Store) load(ctx context.Context, key string) (value, stored []byte, id string, err error) {
	var size int64
	err = s.row(ctx, []any{&size, &id, &stored},
		`SELECT octet_length(value), sealed, CASE WHEN octet_length(value) <= $2 THEN value END FROM {values} WHERE key = $1`,
		key, s.cfg.MaxValue+overhead)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil, "", fs.ErrNotExist
	case err != nil:
		return nil, nil, "", err
	case plainSize(size, id) > int64(s.cfg.MaxValue):
		return nil, nil, "", fmt.Errorf("%d bytes are more than the limit of %d", plainSize(size, id), s.cfg.MaxValue)
	}
	value, err = s.sealer.open(key, stored, id)
	return value, stored, id, err
}

// inside picks the keys below a directory, between $1 and $2.
const inside = `(key >= $1::text AND ($2::text = '' OR key < $2::text))`

// Delete removes the value at key and everything below it; that there is
// nothing is no error. It is subject to the same condition as Store. The root,
// which is everything, is refused.
func (s *Store) Delete(ctx context.Context, key string) error {
	return failed("deleting", key, s.remove(ctx, key))
}

func (s *Store) remove(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	from, to := below(key)
	const these = `DELETE FROM {values} WHERE (key = $3 OR ` + inside + `)`
	l := s.guard(key)
	if l == nil {
		_, err := s.exec(ctx, these, from, to, key)
		return err
	}
	var held bool
	err := s.row(ctx, []any{&held}, `WITH held AS (`+tokenRow+`name = $4 AND token = $5 FOR SHARE),
		gone AS (`+these+` AND EXISTS (SELECT 1 FROM held))
		SELECT EXISTS (SELECT 1 FROM held)`, from, to, key, l.name, l.token)
	if err == nil && !held {
		return ErrLeaseLost
	}
	return err
}

// Exists reports whether key has a value or is a directory. When the database
// does not say, the error is logged and the answer is no; certmagic then tests
// whether it can write before it does anything.
func (s *Store) Exists(ctx context.Context, key string) bool {
	exists, err := s.exists(ctx, key)
	if err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrInvalid) {
		s.cfg.Logger.Warn("sqlstore: whether a key exists is unknown", "key", key, "error", err)
	}
	return exists
}

func (s *Store) exists(ctx context.Context, key string) (exists bool, err error) {
	if key == "" {
		return true, nil
	}
	if err := checkKey(key); err != nil {
		return false, err
	}
	from, to := below(key)
	err = s.row(ctx, []any{&exists}, `SELECT EXISTS (SELECT 1 FROM {values} WHERE key = $3 OR `+inside+`)`, from, to, key)
	return exists, err
}

// Stat says what is at key. A directory has no size, and the time of the latest
// change below it that is still there. Size is the length of the value as
// loaded.
func (s *Store) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	info, err := s.stat(ctx, key)
	return info, failed("looking at", key, err)
}

func (s *Store) stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if key != "" {
		if err := checkKey(key); err != nil {
			return certmagic.KeyInfo{}, err
		}
	}
	info := certmagic.KeyInfo{Key: key, IsTerminal: true}
	var id string
	err := s.row(ctx, []any{&info.Size, &id, &info.Modified}, `SELECT octet_length(value), sealed, modified FROM {values} WHERE key = $1`, key)
	if errors.Is(err, sql.ErrNoRows) {
		return s.statDirectory(ctx, key)
	}
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info.Size = plainSize(info.Size, id)
	return info, nil
}

func (s *Store) statDirectory(ctx context.Context, dir string) (certmagic.KeyInfo, error) {
	var latest sql.NullTime
	from, to := below(dir)
	err := s.row(ctx, []any{&latest}, `SELECT max(modified) FROM {values} WHERE `+inside, from, to)
	switch {
	case err != nil:
		return certmagic.KeyInfo{}, err
	case !latest.Valid && dir != "":
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	return certmagic.KeyInfo{Key: dir, Modified: latest.Time}, nil
}
