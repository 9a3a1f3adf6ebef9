// Package ctx stands for the copy that an author vendored. It does not compile: nothing may build it.
package ctx

var _ = theVendoredCopyOfTykMustNotBeBuilt
