"""Reading and checking the files of a workspace: agents, scripts, tools.

Pure but for reading and writing files below the folder it is given. The command line and the server use the same code,
so a file that passes here passes there. Imports the domain and light libraries only; what is slow to import is imported
where it is used.
"""
