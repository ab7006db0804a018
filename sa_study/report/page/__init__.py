"""The study page: one self-contained HTML file that shows and explains a study."""
