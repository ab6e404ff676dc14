"""The page of `g4seg app`, in a browser. All but `page` and `events` work without Gradio."""
