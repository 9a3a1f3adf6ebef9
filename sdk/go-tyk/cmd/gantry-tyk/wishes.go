package main

import (
	"fmt"
	"strings"
)

// wish is what an entry of a manifest says of where its function runs: true, false or "body".
type wish struct{ function, says, field string }

// wishes are those of one manifest. They mean what directives in the source mean.
type wishes struct {
	manifest string
	of       []wish
}

func (w *wishes) String() string { return fmt.Sprint(w.of) }

func (w *wishes) Set(value string) error {
	parts := strings.SplitN(value, "=", 3)
	if len(parts) != 3 || !contains([]string{says(false, false), says(true, false), says(true, true)}, parts[1]) {
		return fmt.Errorf(`expected function=true, false or "body"=field, found %q`, value)
	}
	w.of = append(w.of, wish{parts[0], parts[1], parts[2]})
	return nil
}

// says is how a manifest says where a function runs.
func says(inline, body bool) string {
	switch {
	case body:
		return `"body"`
	case inline:
		return "true"
	default:
		return "false"
	}
}

// grant marks the functions that entries ask for, and refuses what cannot be.
func (w *wishes) grant(found offer) (refusals []finding) {
	refuse := func(wish wish, code, message, advice string) {
		refusals = append(refusals, finding{File: w.manifest, Code: code, Message: wish.field + ": " + message, Advice: advice})
	}
	for _, wish := range w.of {
		function := found.function(wish.function)
		switch {
		case function == nil:
			if why := found.whySkipped(wish.function); why != "" {
				refuse(wish, "INLINE_NOT_A_HOOK", fmt.Sprintf("expected a function that hooks can name, found %s, %s", wish.function, why),
					"give it one of the shapes that hooks have, or take inline out")
				continue
			}
			refuse(wish, "INLINE_FUNCTION_UNKNOWN", fmt.Sprintf("expected a function of the source, found %s, which is not in it", wish.function),
				"name the function as the source does")
		case function.Inline && says(true, function.Body) != wish.says:
			refuse(wish, "INLINE_CONFLICT", fmt.Sprintf("expected %s, as the directive before %s says (%s:%d), found %s",
				says(true, function.Body), wish.function, function.File, function.Line, wish.says), "say it in one place, or the same in both")
		default:
			function.Inline, function.Body = wish.says != "false", wish.says == `"body"`
		}
	}
	return refusals
}

func (o *offer) function(name string) *function {
	for i := range o.functions {
		if o.functions[i].Name == name {
			return &o.functions[i]
		}
	}
	return nil
}

func (o *offer) whySkipped(name string) string {
	for _, skipped := range o.skipped {
		if skipped.Name == name {
			return skipped.Reason
		}
	}
	return ""
}
