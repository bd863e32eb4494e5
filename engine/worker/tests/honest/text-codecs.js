new TextDecoder().decode(new TextEncoder().encode('grüße')) === 'grüße';
