decodeURIComponent(encodeURIComponent('a b/ü')) === 'a b/ü' && escape('ü') === '%FC';
