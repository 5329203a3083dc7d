# A language-model server that writes numbers.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY chat_server.py /srv/chat_server.py
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=1s --timeout=2s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
CMD ["python3", "-u", "/srv/chat_server.py", "--host", "0.0.0.0"]
