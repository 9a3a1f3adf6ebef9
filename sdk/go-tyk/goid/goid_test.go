package goid

import (
	"sync"
	"testing"
)

func TestNumberIsTheOneThatTracesTell(t *testing.T) {
	var all sync.WaitGroup
	for i := 0; i < 1000; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if number, traced := Current(), Traced(); number != traced {
				t.Errorf("%d where a trace says %d", number, traced)
			}
		}()
	}
	all.Wait()
}

func BenchmarkCurrent(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Current()
	}
}

func BenchmarkTraced(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Traced()
	}
}
