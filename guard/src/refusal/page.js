setInterval(async () => {
  try {
    const response = await fetch(location, { method: "HEAD", cache: "no-store", redirect: "manual" });
    if (response.status < 500) location.reload();
  } catch {}
}, 10000);
