package main

import "net/http"

type plugin struct{}

// Check is a method, so no hook.
func (plugin) Check(rw http.ResponseWriter, r *http.Request) {}

// Hook is a variable: NOT_A_FUNCTION.
var Hook = func(rw http.ResponseWriter, r *http.Request) {}

func main() {}
