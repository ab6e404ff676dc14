// Lays the coarse mask over the refined one, behind a slider. Without it the two stand side by side.
document.querySelectorAll('.compare').forEach((box) => {
  const slider = box.querySelector('input');
  const move = () => {
    box.style.setProperty('--at', slider.value + '%');
    slider.setAttribute('aria-valuetext', slider.value + ' % coarse');
  };
  slider.hidden = false;
  slider.addEventListener('input', move);
  box.classList.add('sliding');
  move();
});

document.querySelectorAll('button.copy').forEach((button) => {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = 'Copied';
  });
});

// What is folded away would be missing on paper.
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((item) => (item.open = true)));
