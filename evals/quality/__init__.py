"""`unclip eval quality`: does the model draw what it is asked, by judges that were trained apart from it?"""
