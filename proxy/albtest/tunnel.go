package albtest

import (
	"bufio"
	"context"
	"sync"
	"time"
)

// end is one of the two connections of a tunnel, and what was read of it.
type end struct {
	conn *idleConn
	r    *bufio.Reader
}

// join passes bytes both ways until both directions ended, the context did, or
// no byte moved either way for the idle time-out.
func join(ctx context.Context, idle time.Duration, a, b end) {
	closeBoth := func() {
		_ = a.conn.Close()
		_ = b.conn.Close()
	}
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	quiet := time.AfterFunc(idle, closeBoth)
	defer quiet.Stop()
	a.conn.wait(true)
	b.conn.wait(true)
	var ways sync.WaitGroup
	ways.Go(func() { pump(b, a, func() { quiet.Reset(idle) }) })
	ways.Go(func() { pump(a, b, func() { quiet.Reset(idle) }) })
	ways.Wait()
	closeBoth()
}

// pump copies one way, and ends that way at its end.
func pump(to, from end, alive func()) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.r.Read(buffer)
		if n > 0 {
			alive()
			if _, failed := to.conn.Write(buffer[:n]); failed != nil {
				_ = from.conn.Close()
				return
			}
		}
		if err != nil {
			to.conn.closeWrite()
			return
		}
	}
}
