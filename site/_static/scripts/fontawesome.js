// The theme asks for this file, 1.5 MB of icons: course.css draws the few that are used.
