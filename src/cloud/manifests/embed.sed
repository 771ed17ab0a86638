# Each line of a template becomes a string constant of C.
s/[\\"]/\\&/g
s/.*/"&\\n"/
