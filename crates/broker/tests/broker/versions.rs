//! Every API in every version that is offered: the answer is complete and means what it should.
