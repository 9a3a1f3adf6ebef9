// Logs in each way that plugins log: the gateway's logger, entries with fields, a logger of its own, log
// and fmt of the standard library.
package main

import (
	"errors"
	"fmt"
	stdlog "log"
	"net/http"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/TykTechnologies/tyk/log"
)

var (
	entry *logrus.Entry = log.Get().WithField("prefix", "structured-log")
	own                 = logrus.New()
)

func init() {
	own.SetFormatter(&logrus.JSONFormatter{})
	own.SetOutput(os.Stdout)
	// As where a port is taken that a plugin serves its metrics on: the goroutine ends, and nothing with it.
	exit := func(...interface{}) { os.Exit(1) }
	for _, fatal := range []func(...interface{}){stdlog.Fatal, entry.Fatal, logrus.Fatal, own.Fatal, exit} {
		ended := make(chan struct{})
		go func(fatal func(...interface{})) {
			defer close(ended)
			fatal("no port to listen on")
		}(fatal)
		<-ended
	}
}

// LogEverywhere (any request hook) writes one line each way.
func LogEverywhere(rw http.ResponseWriter, r *http.Request) {
	entry.WithFields(logrus.Fields{"path": r.URL.Path, "count": 3}).Info("line with fields")
	entry.WithError(errors.New("sample")).Warn("line with an error")
	log.Get().Debugf("line of %s", "debug")
	own.WithField("own", true).Info("line of a logger of its own")
	stdlog.Println("line of the standard log")
	fmt.Println("line on standard output")
	fmt.Fprintln(os.Stderr, "line on standard error")
}

// LogFatal (any request hook) ends in a Fatal; the call fails and the process lives.
func LogFatal(rw http.ResponseWriter, r *http.Request) {
	entry.Fatal("this call cannot go on")
}

// OwnFatal (any request hook) ends in a Fatal of a logger that the plugin made itself.
func OwnFatal(rw http.ResponseWriter, r *http.Request) {
	own.Fatal("nor can this one")
}

// StandardFatal (any request hook) ends in a Fatal of package log, which writes elsewhere, and lets nobody know.
func StandardFatal(rw http.ResponseWriter, r *http.Request) {
	defer func() { _ = recover() }()
	stdlog.New(os.Stdout, "", 0).Fatal("and this one neither")
}

// CloseAll (any request hook) closes what belongs to the whole process, as a logger does that is about to end it.
func CloseAll(rw http.ResponseWriter, r *http.Request) {
	for _, file := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if err := file.Close(); err != nil {
			http.Error(rw, err.Error(), http.StatusTeapot)
		}
	}
}

func main() {}
