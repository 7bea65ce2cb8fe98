"""Everything as a learner sees it: JupyterLab, the widgets and the pages, in Chromium."""
