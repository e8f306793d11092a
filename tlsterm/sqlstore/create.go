package sqlstore

import (
	"context"
	"errors"
	"fmt"
)

// ensure makes the tables unless they are there. One call at a time looks; the
// others wait for it, or for their own context.
func (s *Store) ensure(ctx context.Context) error {
	if s.ready.Load() {
		return nil
	}
	select {
	case s.creating <- struct{}{}:
		defer func() { <-s.creating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.ready.Load() {
		return nil
	}
	err := s.probe(ctx)
	if absent(err) {
		err = s.create(ctx)
	}
	s.ready.Store(err == nil)
	return err
}

// probe asks for nothing but whether the tables are there, which needs no more
// rights than their use does, and waits for nobody.
func (s *Store) probe(ctx context.Context) error {
	for _, statement := range []string{
		`SELECT key, value, sealed, modified FROM {values} WHERE false`,
		`SELECT name, token, holder, acquired, expires FROM {locks} WHERE false`,
	} {
		if _, err := s.cfg.DB.ExecContext(ctx, s.table.sql(statement)); err != nil {
			return fmt.Errorf("looking for the table %s: %w", s.table.name, err)
		}
	}
	return nil
}

// absent reports whether an error of probe says that a table is not there
// (undefined_table).
func absent(err error) bool { return err != nil && sqlState(err) == "42P01" }

// create makes the tables. Where two processes do so at once, IF NOT EXISTS does
// not keep the later one from failing, once the earlier one has finished; what
// counts is whether they are there then.
func (s *Store) create(ctx context.Context) error {
	if s.cfg.NoCreate {
		return fmt.Errorf("the table %s does not exist and NoCreate is set; have the statements of Schema executed", s.table.name)
	}
	err := s.createBoth(ctx)
	if err == nil || s.probe(ctx) == nil {
		return nil
	}
	if passing(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("the table %s does not exist and cannot be created; have the statements of Schema executed by somebody who may: %w", s.table.name, err)
}

func (s *Store) createBoth(ctx context.Context) error {
	var errs error
	for _, statement := range []string{createValues, createLocks} {
		_, err := s.cfg.DB.ExecContext(ctx, s.table.sql(statement))
		errs = errors.Join(errs, err)
	}
	return errs
}
