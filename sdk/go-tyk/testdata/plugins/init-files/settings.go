package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type settings struct {
	Banner string   `json:"banner"`
	Deny   []string `json:"deny"`
}

var current = settings{Banner: "none"}

// The file's path comes from the environment; a file that is named must be there.
func init() {
	path := os.Getenv("INIT_FILES_SETTINGS")
	if path == "" {
		return
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		panic(fmt.Sprintf("settings: %v", err))
	}
	if err := json.Unmarshal(bytes, &current); err != nil {
		panic(fmt.Sprintf("settings: %v", err))
	}
}
