// Draws the Mermaid diagrams of the pages, which GitHub draws by itself: each block of code in the language mermaid becomes a picture.
// mermaid.tiny.js is loaded before this file (tools/docs/build).
(() => {
  const dark = ['coal', 'navy', 'ayu'].some((theme) => document.documentElement.classList.contains(theme));
  for (const code of document.querySelectorAll('code.language-mermaid')) {
    const picture = document.createElement('pre');
    picture.className = 'mermaid';
    picture.textContent = code.textContent;
    code.parentElement.replaceWith(picture);
  }
  mermaid.initialize({ startOnLoad: false, theme: dark ? 'dark' : 'default' });
  mermaid.run();
})();
