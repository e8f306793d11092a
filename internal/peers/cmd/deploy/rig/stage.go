//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A stage is what runs during one deploy.
type stage struct {
	dir       string
	instances []string // addresses
	processes []*process
	ends      []func()

	running sync.WaitGroup
	errs    chan error
	cancel  context.CancelFunc
	ctx     context.Context // of what runs in the background
}

func newStage(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp("", "deploy")
	if err != nil {
		return nil, err
	}
	instances, err := freeAddrs(2)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &stage{dir: dir, instances: instances, errs: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s, nil
}

// run starts a program on a free address. line writes what it needs into a directory of its own, of that name.
func (s *stage) run(ctx context.Context, binary, name string, line func(dir, addr string) ([]string, error)) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return "", err
	}
	args, err := line(dir, addrs[0])
	if err != nil {
		return "", err
	}
	path, err := find(binary)
	if err != nil {
		return "", err
	}
	p, err := s.launch(dir, name, append([]string{path}, args...))
	if err != nil {
		return "", err
	}
	return addrs[0], p.ready(ctx, addrs[0])
}

// launch starts a program that ends with the stage at the latest.
func (s *stage) launch(dir, name string, line []string) (*process, error) {
	p, err := launch(dir, name, line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// background runs a function until the stage ends; its error fails the deploy.
func (s *stage) background(f func(context.Context) error) {
	s.running.Go(func() {
		if err := f(s.ctx); err != nil {
			select {
			case s.errs <- err:
			default: // one is enough
			}
		}
	})
}

func (s *stage) atEnd(f func()) { s.ends = append(s.ends, f) }

// close ends everything, last things first, and returns what went wrong in the background.
func (s *stage) close() error {
	s.cancel()
	s.running.Wait()
	for _, end := range slices.Backward(s.ends) {
		end()
	}
	for _, p := range slices.Backward(s.processes) {
		p.kill()
	}
	err := os.RemoveAll(s.dir)
	select {
	case failed := <-s.errs:
		return errors.Join(failed, err)
	default:
		return err
	}
}
