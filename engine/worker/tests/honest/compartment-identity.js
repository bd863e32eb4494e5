const c = new Compartment();
c.evaluate('[]') instanceof Array && c.evaluate('Object') === Object;
