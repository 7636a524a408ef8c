"""The endpoints that programs written against OpenAI's image API call."""
