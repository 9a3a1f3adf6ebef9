// Package greeting is found nowhere but in this vendor folder.
package greeting

// Of greets who is named.
func Of(name string) string {
	if name == "" {
		name = "stranger"
	}
	return "hello, " + name
}
