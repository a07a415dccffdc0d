"""The recognizer and what it needs: crops, optical flow, face mesh, bundles, few-shot heads, runtimes."""
