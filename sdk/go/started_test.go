package gantry

import (
	"sync"
	"testing"
)

func TestNumbersOfStoppedFunctionsAreGivenOutAgainAndOthersKeepTheirs(t *testing.T) {
	var table functions
	first, second := &instance{hook: Pre}, &instance{hook: Post}
	one, two := table.put(first), table.put(second)
	if one == 0 || two == 0 || one == two || table.get(one) != first || table.get(two) != second {
		t.Fatal(one, two)
	}
	table.remove(one)
	if table.get(one) != nil || table.get(two) != second {
		t.Error("the wrong one was stopped")
	}
	third := &instance{hook: Auth}
	if again := table.put(third); again != one || table.get(again) != third || table.get(two) != second {
		t.Error(again)
	}
}

func TestFunctionsAreFoundWhileOthersStartAndStop(t *testing.T) {
	var table functions
	var all sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			kept := &instance{}
			number := table.put(kept)
			for i := 0; i < 1000; i++ {
				other := table.put(&instance{})
				if table.get(number) != kept {
					t.Error("another function has the number", number)
				}
				if i%2 == 0 {
					table.remove(other)
				}
			}
		}()
	}
	all.Wait()
}
