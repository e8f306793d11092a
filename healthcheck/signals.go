package healthcheck

import (
	"context"
	"os"
)

// tell hands on the first signal, and calls cut at the second. It returns
// after that, or when the context ends.
//
// The first one never cuts, also where the drain has begun for another reason: a
// program that gives Serve a context of signal.NotifyContext ends that context
// and signals here at the same time.
func tell(ctx context.Context, signals <-chan os.Signal, first chan<- os.Signal, cut func()) {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			if n > 1 {
				cut()
				return
			}
			first <- sig
		}
	}
}
