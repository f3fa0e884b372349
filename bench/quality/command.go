package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"galaxy/internal/durable"
)

// show runs a program whose stdout is for people to read: it goes to this program's stderr.
func show(ctx context.Context, name string, args ...string) error {
	return command(ctx, os.Stderr, name, args...)
}

// ask runs a program that answers with JSON on stdout. It goes to the file path,
// which appears only when the program has ended well, and is decoded into to.
func ask(ctx context.Context, path string, to any, name string, args ...string) error {
	var stdout bytes.Buffer
	if err := command(ctx, &stdout, name, args...); err != nil {
		return err
	}
	if err := durable.WriteFile(path, stdout.Bytes()); err != nil {
		return err
	}
	return readJSON(path, to)
}

func command(ctx context.Context, stdout io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	// This program passes on a stop signal once: a second one ends galaxy at once,
	// without the checkpoint from which its run resumes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	fmt.Fprintln(os.Stderr, "+", cmd)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(raw, '\n'))
}

// readJSON reads a file that this program, galaxy or Keras' side wrote. The error
// wraps fs.ErrNotExist when there is none.
func readJSON(path string, to any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
